using System.Globalization;
using System.Text.RegularExpressions;
using ByteStreams.Transport.Validation;
using CsCheck;

namespace ByteStreams.Middleware.Tests.Configuration;

public class DurationTests
{
    [Theory]
    [InlineData("500ms", "00:00:00.5")]
    [InlineData("30s", "00:00:30")]
    [InlineData("1.5h", "01:30:00")]
    [InlineData("5M", "00:05:00")]
    [InlineData("1d", "1.00:00:00")]
    [InlineData("00:01:30", "00:01:30")]
    [InlineData("1:30", "01:30:00")]
    [InlineData("2.03:04:05.6", "2.03:04:05.6")]
    public void TryParse_Written_IsTaken(string text, string time)
    {
        Assert.True(Duration.TryParse(text, out TimeSpan value));
        Assert.Equal(TimeSpan.Parse(time, CultureInfo.InvariantCulture), value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("30")]
    [InlineData("s")]
    [InlineData("-5s")]
    [InlineData("1e3s")]
    [InlineData("1,5s")]
    [InlineData("NaNs")]
    [InlineData("Infinitys")]
    [InlineData("99999d")]
    [InlineData("99999.00:00")]
    [InlineData("24:00")]
    [InlineData("1:2:3:4:5")]
    public void TryParse_AnythingElse_IsNot(string text) => Assert.False(Duration.TryParse(text, out _));

    [Fact]
    public void Show_AnyTime_IsReadBack() => Gen.Long[0, TimeSpan.FromDays(36000).Ticks].Sample(ticks =>
    {
        // Round ones as well, which have a unit.
        foreach (TimeSpan time in (TimeSpan[])[new(ticks), new(ticks / TimeSpan.TicksPerSecond * TimeSpan.TicksPerSecond), TimeSpan.FromHours(ticks % 1000)])
        {
            Assert.True(Duration.TryParse(Duration.Show(time), out TimeSpan back) && back == time, Duration.Show(time));
        }
    });

    /// <summary>What an editor lets pass the program takes, and the other way round, but for the case of units and for blanks.</summary>
    [Fact]
    public void Pattern_AnyText_AgreesWithTryParse() => Gen.Char["0123459.:smhd"].Array[0, 9].Sample(characters =>
    {
        string text = new(characters);
        bool matches = Regex.IsMatch(text, Duration.Pattern, RegexOptions.ECMAScript);

        // Too long a time, a number without digits before or behind its point, and .NET's own leniency with leading zeros are not the schema's.
        if (Duration.TryParse(text, out _) != matches)
        {
            Assert.Matches(@"^(\d{5,}.*|.*(^|:)\d{3,}.*|0\d{2,}.*|\.\d+[smhd]+|\d+\.(ms|[smhd])|\d+:\d+:\d+\.|\d*\.?\d+:.*|.*:)$", text);
        }
    }, iter: 20_000);
}

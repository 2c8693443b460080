using ByteStreams.Configuration;
using Microsoft.Extensions.Configuration;
using StreamsHost.Admin;

namespace StreamsHost.Tests.Configuration;

/// <summary>The documented keys of the section <c>Admin</c> are those that the host reads.</summary>
public class AdminTableTests
{
    public static TheoryData<string> Keys => [.. AdminTable.Table.All.Select(setting => setting.Name), SettingTable.Enabled];

    [Theory]
    [MemberData(nameof(Keys))]
    public void Read_DocumentedKeyInAnyCase_IsKnown(string key) =>
        Assert.DoesNotContain(Read(key.ToUpperInvariant(), "x").Errors, error => error.Contains("no such key", StringComparison.Ordinal));

    [Fact]
    public void Read_UnknownKey_IsAnErrorThatNamesTheDocumentedOnes()
    {
        string error = Assert.Single(Read("Whatever", "x").Errors);

        Assert.All(Keys, key => Assert.Contains(key.Data, error, StringComparison.Ordinal));
    }

    [Fact]
    public void Read_InvalidValue_HasTheDocumentedRequirement() =>
        Assert.All(
            AdminTable.Table.All.Where(setting => !setting.IsList),
            setting => Assert.Equal(
                [$"Admin:{setting.Name}: '' is not valid. It takes {setting.Takes}."], Read(setting.Name, string.Empty).Errors));

    private static AdminSettings Read(string key, string value) =>
        AdminSettings.Read(new ConfigurationBuilder().AddInMemoryCollection([new($"Admin:{key}", value)]).Build());
}

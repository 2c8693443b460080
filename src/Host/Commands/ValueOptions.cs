using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using ByteStreams;

namespace StreamsHost.Commands;

/// <summary>Options with a range, with the same errors as configuration keys.</summary>
internal static class ValueOptions
{
    public static ValueOption<int> Number(string name, int least, int most, int byDefault, string description) => new(name, byDefault)
    {
        Description = string.Create(CultureInfo.InvariantCulture, $"{description} {byDefault:N0} by default, {least} to {most:N0}."),
        HelpName = "NUMBER",
        CustomParser = result => int.TryParse(result.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most
            ? value
            : Wrong<int>(result, name, string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}")),
    };

    public static ValueOption<TimeSpan> Time(string name, TimeSpan most, TimeSpan byDefault, string description) => new(name, byDefault)
    {
        Description = $"{description} {ByteStreamConfiguration.FormatDuration(byDefault)} by default, {ByteStreamConfiguration.FormatDuration(most)} at most.",
        HelpName = "TIME",
        CustomParser = result => ByteStreamConfiguration.TryParseDuration(result.Tokens[0].Value, out TimeSpan value) && value > TimeSpan.Zero && value <= most
            ? value
            : Wrong<TimeSpan>(result, name, $"a time such as {ByteStreamConfiguration.FormatDuration(byDefault)} or 500ms, {ByteStreamConfiguration.FormatDuration(most)} at most"),
    };

    private static T? Wrong<T>(ArgumentResult result, string name, string takes)
    {
        result.AddError($"{name}: '{result.Tokens[0].Value}' is not valid. It takes {takes}.");
        return default;
    }
}

/// <summary>An option with a default, which is part of its description.</summary>
internal sealed class ValueOption<T>(string name, T byDefault) : Option<T>(name)
{
    /// <summary>The value, or the default.</summary>
    public T GetValue(ParseResult parsed) => parsed.GetResult(this) is null ? byDefault : parsed.GetRequiredValue(this);
}

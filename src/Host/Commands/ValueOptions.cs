using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using ByteStreams.Configuration;

namespace StreamsHost.Commands;

/// <summary>Options with a range, whose messages are those of configuration keys.</summary>
internal static class ValueOptions
{
    public static Option<int> Number(string name, int least, int most, int byDefault, string description) => new(name)
    {
        Description = string.Create(CultureInfo.InvariantCulture, $"{description} {byDefault:N0} by default, {least} to {most:N0}."),
        HelpName = "NUMBER",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result => int.TryParse(result.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most
            ? value
            : Wrong<int>(result, name, string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}")),
    };

    public static Option<TimeSpan> Time(string name, TimeSpan most, TimeSpan byDefault, string description) => new(name)
    {
        Description = $"{description} {Duration.Show(byDefault)} by default, {Duration.Show(most)} at most.",
        HelpName = "TIME",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result => Duration.TryParse(result.Tokens[0].Value, out TimeSpan value) && value > TimeSpan.Zero && value <= most
            ? value
            : Wrong<TimeSpan>(result, name, $"a time such as {Duration.Show(byDefault)} or 500ms, {Duration.Show(most)} at most"),
    };

    private static T? Wrong<T>(ArgumentResult result, string name, string takes)
    {
        result.AddError($"{name}: '{result.Tokens[0].Value}' is not valid. It takes {takes}.");
        return default;
    }
}

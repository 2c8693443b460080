using System.CommandLine;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>Prints the effective configuration, with the source of each value.</summary>
internal sealed class PrintConfigCommand : HostSubcommand
{
    private readonly Option<bool> _all = new("--all") { Description = "Include keys that are not configured, with their defaults." };
    private readonly Option<bool> _json = new("--json") { Description = "Print a JSON array of objects with key, value, hidden and source." };

    public PrintConfigCommand(ConfigurationKeys keys, ConfigurationFileOption file)
        : base(
            "print-config",
            "Prints the effective configuration, with the source of each value. Secrets are hidden.",
            "print-config --config /etc/streamshost/appsettings.json",
            "print-config --all --json")
    {
        Add(_all);
        Add(_json);
        file.AddTo(this);
        SetAction(parsed => Print(parsed, file.Read(parsed, keys)));
    }

    private void Print(ParseResult parsed, HostArguments arguments)
    {
        using var configuration = new ConfigurationManager();
        HostConfiguration.AddSources(configuration, arguments);
        IReadOnlyList<ListedValue> values = ConfigurationListing.Read(configuration, parsed.GetValue(_all));
        TextWriter output = parsed.InvocationConfiguration.Output;
        if (parsed.GetValue(_json))
        {
            output.WriteLine(Json(values));
            return;
        }

        int keyWidth = values.Count == 0 ? 0 : values.Max(value => value.Key.Length);
        // Bounded, so that one long value does not move all sources off the screen.
        int valueWidth = values.Count == 0 ? 0 : Math.Min(40, values.Max(value => value.Shown.Length));
        foreach (ListedValue value in values)
        {
            output.WriteLine($"{value.Key.PadRight(keyWidth)}  {value.Shown.PadRight(valueWidth)}  {value.Source}");
        }
    }

    private static string Json(IReadOnlyList<ListedValue> values) => IndentedJson.Write(json =>
    {
        json.WriteStartArray();
        foreach (ListedValue value in values)
        {
            json.WriteStartObject();
            json.WriteString("key", value.Key);
            json.WriteString("value", value.IsHidden ? null : value.Value);
            json.WriteBoolean("hidden", value.IsHidden);
            json.WriteString("source", value.Source);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    });
}

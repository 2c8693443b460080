using System.Text;

namespace ByteStreams.Configuration;

/// <summary>Generates the tables of docs/configuration.md from <see cref="EndpointTable"/>. The text before them is written by hand.</summary>
internal static class ConfigurationDocument
{
    /// <summary>The line after which the tables begin.</summary>
    public const string Begin = "<!-- Generated from src/Middleware/Configuration/EndpointTable.cs: do not edit down to the end. -->";

    /// <summary>Generates the text after <see cref="Begin"/>.</summary>
    /// <param name="descriptions">The descriptions of the keys.</param>
    /// <param name="others">Further sections of the program.</param>
    public static string Generate(SettingDescriptions descriptions, params IReadOnlyList<OtherSection> others)
    {
        var text = new StringBuilder();
        Head(text, "`ByteStreams`", "appsettings.json may have other sections too, such as `Logging`.");
        foreach (Setting setting in EndpointTable.Service.All)
        {
            Row(text, setting, descriptions.Of(EndpointTable.Service.Options, setting.Name));
        }

        foreach (string section in (string[])[EndpointConfiguration.Defaults, EndpointConfiguration.Endpoints])
        {
            Row(text, section, "a section", null, descriptions.Of(typeof(EndpointConfiguration), section));
        }

        Head(text, "`ByteStreams:Endpoints:<name>`", "An endpoint. `ByteStreams:Defaults` takes the same keys except `Url`.");
        Rows(text, EndpointTable.Endpoint, descriptions);
        Head(text, "`ByteStreams:Endpoints:<name>`: its sockets", "In the same section. A change of one of these opens a new listener.");
        Rows(text, EndpointTable.Listening, descriptions);
        foreach (Setting section in EndpointTable.Endpoint.All.Where(setting => setting.Table is not null))
        {
            Section(text, section.Name, descriptions.Of(EndpointTable.Endpoint.Options, section.Name), section.Table!, descriptions);
        }

        foreach (OtherSection other in others)
        {
            Head(text, $"`{other.Name}`", descriptions.Of(other.Described, other.Constant));
            Rows(text, other.Table, descriptions);
        }

        return text.ToString();
    }

    private static void Section(StringBuilder text, string path, string description, SettingTable table, SettingDescriptions descriptions)
    {
        Head(text, $"`ByteStreams:Endpoints:<name>:{path}`", description);
        Rows(text, table, descriptions);
        foreach (Setting inner in table.All.Where(setting => setting.Table is not null))
        {
            Section(text, inner.IsList ? $"{path}:{inner.Name}:<number>" : $"{path}:{inner.Name}", descriptions.Of(table.Options, inner.Name), inner.Table!, descriptions);
        }
    }

    private static void Head(StringBuilder text, string title, string description) => text
        .Append("\n### ").Append(title).Append("\n\n").Append(description)
        .Append("\n\n| Key | Takes | Default | Meaning |\n|---|---|---|---|\n");

    private static void Rows(StringBuilder text, SettingTable table, SettingDescriptions descriptions)
    {
        if (table.CanBeDisabled)
        {
            Row(text, SettingTable.Enabled, "true or false", "true", descriptions.Of(typeof(SettingTable), SettingTable.Enabled));
        }

        foreach (Setting setting in table.All)
        {
            Row(text, setting, descriptions.Of(table.Options, setting.Name));
        }
    }

    private static void Row(StringBuilder text, Setting setting, string description) =>
        Row(text, setting.Name, setting is { IsList: true, Table: null } ? $"a list: {setting.Takes}" : setting.Takes, setting.Default, description);

    private static void Row(StringBuilder text, string name, string takes, string? byDefault, string description) => text
        .Append("| `").Append(name).Append("` | ").Append(Cell(takes)).Append(" | ")
        .Append(byDefault is null ? string.Empty : $"`{Cell(byDefault)}`").Append(" | ").Append(Cell(description)).Append(" |\n");

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);
}

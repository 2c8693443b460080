using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ByteStreams.Configuration;

/// <summary>
/// The JSON schema of a file with a <c>ByteStreams</c> section. It is generated from <see cref="EndpointTable"/> into bytestreams.schema.json, a
/// resource of this library: the descriptions come from the XML documentation, which a running program does not have.
/// </summary>
/// <remarks>
/// It is stricter than the program, so that an editor can help: the program ignores the case of keys and names, and accepts numbers and
/// booleans as strings.
/// </remarks>
internal static class ConfigurationSchema
{
    private const string Root = "ByteStreams";
    private const string Endpoint = "Endpoint";

    /// <summary>The generated schema.</summary>
    public static string Text
    {
        get
        {
            using Stream resource = typeof(ConfigurationSchema).Assembly.GetManifestResourceStream("bytestreams.schema.json")!;
            using var reader = new StreamReader(resource);
            return reader.ReadToEnd();
        }
    }

    /// <summary>Generates the schema.</summary>
    /// <param name="descriptions">The descriptions of the keys.</param>
    /// <param name="others">Further sections of the program.</param>
    public static string Generate(SettingDescriptions descriptions, params IReadOnlyList<OtherSection> others)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteString("$schema", "http://json-schema.org/draft-07/schema#");
            json.WriteString("title", "appsettings.json with byte-stream endpoints");
            json.WriteString("type", "object");
            json.WriteStartObject("properties");
            json.WriteStartObject("$schema");
            json.WriteString("type", "string");
            json.WriteEndObject();
            WriteReference(json, Root, Root);
            foreach (OtherSection other in others)
            {
                json.WriteStartObject(other.Name);
                json.WriteString("description", descriptions.Of(other.Described, other.Constant));
                WriteTable(json, other.Table, descriptions);
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteStartObject("definitions");
            WriteRoot(json, descriptions);
            WriteEndpoint(json, Endpoint, "An endpoint.", descriptions, EndpointTable.Endpoint.All);
            WriteEndpoint(
                json,
                EndpointConfiguration.Defaults,
                descriptions.Of(typeof(EndpointConfiguration), EndpointConfiguration.Defaults),
                descriptions,
                EndpointTable.Endpoint.All.Where(setting => setting.Name != nameof(EndpointSettings.Url)));
            foreach (Setting section in EndpointTable.Endpoint.All.Where(setting => setting.Table is not null))
            {
                json.WriteStartObject(section.Name);
                json.WriteString("description", descriptions.Of(typeof(EndpointSettings), section.Name));
                WriteTable(json, section.Table!, descriptions);
                json.WriteEndObject();
            }

            json.WriteEndObject();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray()) + "\n";
    }

    private static void WriteRoot(Utf8JsonWriter json, SettingDescriptions descriptions)
    {
        json.WriteStartObject(Root);
        json.WriteString("description", "Byte-stream endpoints, and the keys that apply to all of them.");
        json.WriteString("type", "object");
        json.WriteBoolean("additionalProperties", false);
        json.WriteStartObject("properties");
        foreach (Setting setting in EndpointTable.Service.All)
        {
            WriteSetting(json, setting, EndpointTable.Service.Options, descriptions);
        }

        WriteReference(json, EndpointConfiguration.Defaults, EndpointConfiguration.Defaults);
        json.WriteStartObject(EndpointConfiguration.Endpoints);
        json.WriteString("description", descriptions.Of(typeof(EndpointConfiguration), EndpointConfiguration.Endpoints));
        json.WriteString("type", "object");
        WriteReference(json, "additionalProperties", Endpoint);
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteEndpoint(
        Utf8JsonWriter json, string name, string description, SettingDescriptions descriptions, IEnumerable<Setting> settings)
    {
        json.WriteStartObject(name);
        json.WriteString("description", description);
        json.WriteString("type", "object");
        json.WriteBoolean("additionalProperties", false);
        json.WriteStartObject("properties");
        foreach (Setting setting in settings)
        {
            if (setting.Table is null)
            {
                WriteSetting(json, setting, EndpointTable.Endpoint.Options, descriptions);
            }
            else
            {
                WriteReference(json, setting.Name, setting.Name);
            }
        }

        foreach (Setting setting in EndpointTable.Listening.All)
        {
            WriteSetting(json, setting, EndpointTable.Listening.Options, descriptions);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private static void WriteTable(Utf8JsonWriter json, SettingTable table, SettingDescriptions descriptions)
    {
        json.WriteString("type", "object");
        json.WriteBoolean("additionalProperties", false);
        json.WriteStartObject("properties");
        if (table.CanBeDisabled)
        {
            json.WriteStartObject(SettingTable.Enabled);
            json.WriteString("description", descriptions.Of(typeof(SettingTable), SettingTable.Enabled));
            json.WriteString("type", "boolean");
            json.WriteBoolean("default", true);
            json.WriteEndObject();
        }

        foreach (Setting setting in table.All)
        {
            WriteSetting(json, setting, table.Options, descriptions);
        }

        json.WriteEndObject();
    }

    private static void WriteSetting(Utf8JsonWriter json, Setting setting, Type options, SettingDescriptions descriptions)
    {
        json.WriteStartObject(setting.Name);
        json.WriteString("description", descriptions.Of(options, setting.Name));
        if (setting is { Table: SettingTable section, IsList: false })
        {
            WriteTable(json, section, descriptions);
        }
        else if (setting.Table is SettingTable items)
        {
            json.WriteString("type", "array");
            json.WriteStartObject("items");
            WriteTable(json, items, descriptions);
            json.WriteEndObject();
        }
        else if (setting.IsList)
        {
            // An array, or one text with commas.
            json.WriteStartArray("type");
            json.WriteStringValue("array");
            json.WriteStringValue("string");
            json.WriteEndArray();
            json.WriteStartObject("items");
            json.WriteString("type", "string");
            json.WriteEndObject();
        }
        else
        {
            WriteValue(json, setting.Schema, setting.Default);
        }

        json.WriteEndObject();
    }

    private static void WriteValue(Utf8JsonWriter json, SettingSchema schema, string? byDefault)
    {
        json.WriteString("type", schema.Type);
        if (schema.Least is long least)
        {
            json.WriteNumber("minimum", least);
        }

        if (schema.Type == "integer")
        {
            json.WriteNumber("maximum", schema.Most ?? int.MaxValue);
        }

        if (schema.Pattern is not null)
        {
            json.WriteString("pattern", schema.Pattern);
        }

        if (schema.Values is not null)
        {
            json.WriteStartArray("enum");
            foreach (string value in schema.Values)
            {
                json.WriteStringValue(value);
            }

            json.WriteEndArray();
        }

        switch (schema.Type)
        {
            case "integer" when byDefault is not null:
                json.WriteNumber("default", long.Parse(byDefault, CultureInfo.InvariantCulture));
                break;
            case "boolean" when byDefault is not null:
                json.WriteBoolean("default", byDefault == "true");
                break;
            case "string" when byDefault is not null:
                json.WriteString("default", byDefault);
                break;
        }
    }

    private static void WriteReference(Utf8JsonWriter json, string name, string definition)
    {
        json.WriteStartObject(name);
        json.WriteString("$ref", $"#/definitions/{definition}");
        json.WriteEndObject();
    }
}

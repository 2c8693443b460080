using System.Text.Json;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>Suggestions for configuration keys on the command line, from the schema: <c>--ByteStreams:Endpoints:echo:U</c> can become <c>…:Url=</c>.</summary>
internal static class KeySuggestions
{
    private const string Dashes = "--";

    /// <summary>Suggests keys that begin with a word. A section ends with a colon, a value's key with an equal sign.</summary>
    public static IReadOnlyList<string> Find(string word)
    {
        if (!word.StartsWith(Dashes, StringComparison.Ordinal))
        {
            return [];
        }

        using var schema = JsonDocument.Parse(EmbeddedText.Read(SchemaCommand.Schema));
        JsonElement root = schema.RootElement;
        JsonElement? at = root;
        if (word.Split('=', 2) is [string key, string begun])
        {
            foreach (string part in key[Dashes.Length..].Split(':'))
            {
                at = at is JsonElement outer ? Child(root, outer, part) : null;
            }

            return at is JsonElement value ? [.. Values(value).Where(text => text.StartsWith(begun, StringComparison.OrdinalIgnoreCase)).Select(text => $"{key}={text}")] : [];
        }

        string[] parts = word[Dashes.Length..].Split(':');
        foreach (string part in parts[..^1])
        {
            at = at is JsonElement outer ? Child(root, outer, part) : null;
        }

        IEnumerable<string> names = parts is [_] ? HostConfiguration.Sections.Select(name => name == HostConfiguration.SecretsDirectory ? $"{name}=" : $"{name}:")
            : at is JsonElement section && section.TryGetProperty("properties", out JsonElement properties)
                ? properties.EnumerateObject().Select(property => property.Name + (IsSection(Resolve(root, property.Value)) ? ':' : '='))
                : [];
        string before = word[..(word.Length - parts[^1].Length)];
        return [.. names.Where(name => name.StartsWith(parts[^1], StringComparison.OrdinalIgnoreCase)).Select(name => before + name)];
    }

    /// <summary>The schema of a key within a section: of a property, of any name, or of an item of a list.</summary>
    private static JsonElement? Child(JsonElement root, JsonElement section, string name)
    {
        if (section.TryGetProperty("properties", out JsonElement properties)
            && properties.EnumerateObject().FirstOrDefault(property => property.Name.Equals(name, StringComparison.OrdinalIgnoreCase)) is { Value.ValueKind: JsonValueKind.Object } property)
        {
            return Resolve(root, property.Value);
        }

        return section.TryGetProperty("additionalProperties", out JsonElement any) && any.ValueKind == JsonValueKind.Object ? Resolve(root, any)
            : section.TryGetProperty("items", out JsonElement item) ? Resolve(root, item)
            : null;
    }

    private static JsonElement Resolve(JsonElement root, JsonElement schema)
    {
        if (!schema.TryGetProperty("$ref", out JsonElement reference))
        {
            return schema;
        }

        JsonElement found = root;
        foreach (string part in reference.GetString()!.Split('/').Skip(1))
        {
            found = found.GetProperty(part);
        }

        return found;
    }

    /// <summary>Whether keys go on after it. A list of texts can also be one text.</summary>
    private static bool IsSection(JsonElement schema) =>
        schema.TryGetProperty("properties", out _)
        || (schema.TryGetProperty("items", out JsonElement item) && !(item.TryGetProperty("type", out JsonElement type) && type.ValueKind == JsonValueKind.String && type.ValueEquals("string")))
        || (schema.TryGetProperty("additionalProperties", out JsonElement any) && any.ValueKind == JsonValueKind.Object);

    private static IEnumerable<string> Values(JsonElement schema) =>
        schema.TryGetProperty("enum", out JsonElement values) ? values.EnumerateArray().Where(value => value.ValueKind == JsonValueKind.String).Select(value => value.GetString()!)
        : schema.TryGetProperty("type", out JsonElement type) && type.ValueKind == JsonValueKind.String && type.ValueEquals("boolean") ? ["true", "false"]
        : [];
}

using System.Text.Json;
using System.Text.RegularExpressions;

namespace StreamsHost.Tests.Configuration;

/// <summary>
/// Holds JSON against a JSON schema (draft 7): the part of it that the configuration's schema is made of. A word that it does not
/// know fails the test, so that nothing is passed over.
/// </summary>
internal static class SchemaCheck
{
    private static readonly string[] Told = ["$schema", "title", "description", "default", "definitions"];

    /// <summary>What is wrong with a value, each line with its path; nothing if it is in order.</summary>
    public static IReadOnlyList<string> GetErrors(string schema, string json)
    {
        using JsonDocument root = JsonDocument.Parse(schema);
        using JsonDocument value = JsonDocument.Parse(json, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
        var errors = new List<string>();
        Check(root.RootElement, root.RootElement, value.RootElement, string.Empty, errors);
        return errors;
    }

    private static void Check(JsonElement root, JsonElement schema, JsonElement value, string path, List<string> errors)
    {
        if (schema.TryGetProperty("$ref", out JsonElement reference))
        {
            JsonElement target = root;
            foreach (string part in reference.GetString()!.Split('/').Skip(1))
            {
                target = target.GetProperty(part);
            }

            Check(root, target, value, path, errors);
            return;
        }

        foreach (JsonProperty word in schema.EnumerateObject())
        {
            bool isRight = word.Name switch
            {
                "type" => word.Value.ValueKind == JsonValueKind.Array
                    ? word.Value.EnumerateArray().Any(type => Is(value, type.GetString()!))
                    : Is(value, word.Value.GetString()!),
                "enum" => word.Value.EnumerateArray().Any(choice => JsonElement.DeepEquals(choice, value)),
                "pattern" => value.ValueKind != JsonValueKind.String || Regex.IsMatch(value.GetString()!, word.Value.GetString()!, RegexOptions.ECMAScript),
                "minimum" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() >= word.Value.GetDecimal(),
                "maximum" => value.ValueKind != JsonValueKind.Number || value.GetDecimal() <= word.Value.GetDecimal(),
                "items" => All(value.ValueKind == JsonValueKind.Array, () => value.EnumerateArray().Select((item, i) => (Schema: word.Value, item, $"{path}:{i}"))),
                "properties" or "additionalProperties" => true,
                _ => Told.Contains(word.Name) ? true : throw new InvalidOperationException($"'{word.Name}' is in the schema and not looked at here."),
            };
            if (!isRight)
            {
                errors.Add($"{path}: {value} against {word}");
            }
        }

        if (value.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty property in value.EnumerateObject())
            {
                string inner = path.Length == 0 ? property.Name : $"{path}:{property.Name}";
                if (schema.TryGetProperty("properties", out JsonElement known) && known.TryGetProperty(property.Name, out JsonElement its))
                {
                    Check(root, its, property.Value, inner, errors);
                }
                else if (schema.TryGetProperty("additionalProperties", out JsonElement others))
                {
                    if (others.ValueKind == JsonValueKind.False)
                    {
                        errors.Add($"{inner}: there is no such key");
                    }
                    else
                    {
                        Check(root, others, property.Value, inner, errors);
                    }
                }
            }
        }

        bool All(bool applies, Func<IEnumerable<(JsonElement Schema, JsonElement Value, string Path)>> parts)
        {
            foreach ((JsonElement its, JsonElement part, string inner) in applies ? parts() : [])
            {
                Check(root, its, part, inner, errors);
            }

            return true;
        }
    }

    private static bool Is(JsonElement value, string type) => type switch
    {
        "object" => value.ValueKind == JsonValueKind.Object,
        "array" => value.ValueKind == JsonValueKind.Array,
        "string" => value.ValueKind == JsonValueKind.String,
        "boolean" => value.ValueKind is JsonValueKind.True or JsonValueKind.False,
        "integer" => value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out _),
        _ => throw new InvalidOperationException($"The type '{type}' is in the schema and not looked at here."),
    };
}

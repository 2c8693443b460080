using ByteStreams.Configuration;

namespace StreamsHost.Commands;

/// <summary>
/// The configuration keys among the arguments: <c>--ByteStreams:Endpoints:echo:Url=tcp://*:7007</c>, or with the value as an argument
/// of its own. They are told apart by their first part, before the grammar of commands sees the rest: it would take a value such
/// as <c>run</c> for a command.
/// </summary>
internal sealed class ConfigurationKeys
{
    private readonly List<string> _keys = [];
    private readonly List<string> _others = [];
    private readonly List<string> _mistakes = [];

    public ConfigurationKeys(IReadOnlyList<string> arguments)
    {
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            if (argument == "--")
            {
                _others.AddRange(arguments.Skip(i));
                break;
            }

            string name = argument.Split('=', 2)[0];
            string first = name.TrimStart('-').Split(':')[0];
            if (!argument.StartsWith("--", StringComparison.Ordinal) || !(IsSection(first) || name.Contains(':', StringComparison.Ordinal)))
            {
                _others.Add(argument);
            }
            else if (!IsSection(first))
            {
                _mistakes.Add(SettingTable.Nearest(first, HostConfiguration.Sections) is string nearest
                    ? $"{name}: there is no section '{first}'. Did you mean '{nearest}'?"
                    : $"{name}: there is no section '{first}'. Known are {string.Join(", ", HostConfiguration.Sections)}.");
                if (name.Length == argument.Length && i + 1 < arguments.Count && !arguments[i + 1].StartsWith('-'))
                {
                    // Its value.
                    i++;
                }
            }
            else if (name.Length < argument.Length)
            {
                _keys.Add(argument);
            }
            else if (++i < arguments.Count)
            {
                _keys.Add($"{name}={arguments[i]}");
            }
            else
            {
                _mistakes.Add($"{name} has no value. Write {name}=value.");
            }
        }
    }

    /// <summary>The keys, each as <c>--key=value</c>.</summary>
    public IReadOnlyList<string> Keys => _keys;

    /// <summary>Everything else, in its order.</summary>
    public IReadOnlyList<string> Others => _others;

    /// <summary>One line for each key that is none.</summary>
    public IReadOnlyList<string> Mistakes => _mistakes;

    private static bool IsSection(string name) => HostConfiguration.Sections.Contains(name, StringComparer.OrdinalIgnoreCase);
}

using ByteStreams;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>
/// The configuration keys in the arguments: <c>--ByteStreams:Endpoints:echo:Url=tcp://*:7007</c>, or with the value as a separate argument.
/// They are recognised by their first part and removed before the command line is parsed, because a value such as <c>run</c> would be parsed
/// as a command.
/// </summary>
internal sealed class ConfigurationKeys
{
    private readonly List<string> _keys = [];
    private readonly List<string> _others = [];
    private readonly List<string> _errors = [];

    public ConfigurationKeys(IReadOnlyList<string> arguments)
    {
        if (Suggestions.AreAskedFor(arguments))
        {
            // One of them is a whole command line, which may begin with a key.
            _others.AddRange(arguments);
            return;
        }

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
                _errors.Add(ByteStreamConfiguration.FindNearest(first, HostConfiguration.Sections) is string nearest
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
                _errors.Add($"{name} has no value. Write {name}=value.");
            }
        }
    }

    /// <summary>The keys, each as <c>--key=value</c>.</summary>
    public IReadOnlyList<string> Keys => _keys;

    /// <summary>All other arguments, in their order.</summary>
    public IReadOnlyList<string> Others => _others;

    /// <summary>One line for each invalid key.</summary>
    public IReadOnlyList<string> Errors => _errors;

    private static bool IsSection(string name) => HostConfiguration.Sections.Contains(name, StringComparer.OrdinalIgnoreCase);
}

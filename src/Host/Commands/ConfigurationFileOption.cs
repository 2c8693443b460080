using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary><c>--config</c>: the file to read in place of the one beside the program.</summary>
internal sealed class ConfigurationFileOption : Option<string?>
{
    /// <summary>Names the file where the option does not: for a container, of which each command should read the same.</summary>
    private const string Variable = "STREAMSHOST_CONFIG";

    /// <summary>No file at all: the endpoints are those of the command line and the environment alone.</summary>
    private readonly Option<bool> _none = new("--no-config")
    {
        Description = "Reads no configuration file, the one beside the program with its demo endpoints included: only keys, variables and secrets.",
    };

    public ConfigurationFileOption()
        : base("--config")
    {
        Description = "The configuration file, in place of the appsettings.json beside the program. Followed while the host runs. "
            + $"The variable {Variable} names it as well.";
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file ? file : null;
        HelpName = "PATH";
    }

    /// <summary>Adds the option and its counterpart to a command.</summary>
    public void AddTo(Command command)
    {
        command.Add(this);
        command.Add(_none);
    }

    /// <summary>What the arguments say about the configuration.</summary>
    /// <exception cref="CommandException">They name a file and refuse one.</exception>
    public HostArguments Read(ParseResult parsed, ConfigurationKeys keys)
    {
        bool none = parsed.GetValue(_none);
        return none && parsed.GetResult(this) is { Implicit: false }
            ? throw new CommandException($"{Name} names a configuration file, and {_none.Name} refuses it. Leave one of them out.")
            : new HostArguments(none ? null : parsed.GetValue(this), keys.Keys, none);
    }
}

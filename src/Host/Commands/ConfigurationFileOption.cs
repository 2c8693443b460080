using System.CommandLine;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary><c>--config</c>: the configuration file to read instead of the one in the program's folder.</summary>
internal sealed class ConfigurationFileOption : Option<string?>
{
    /// <summary>The variable with the file, without the option: for containers, in which every command should read the same file.</summary>
    public const string Variable = "STREAMSHOST_CONFIG";

    /// <summary>No file: only keys of the command line, the environment and secrets.</summary>
    private readonly Option<bool> _none = new("--no-config")
    {
        Description = "Reads no configuration file, also not the default one: only keys, variables and secrets.",
    };

    public ConfigurationFileOption()
        : base("--config")
    {
        Description = $"The configuration file, instead of appsettings.json in the program's folder or else {HostConfiguration.SystemFile}. Reloaded when it changes while the "
            + $"host runs. The variable {Variable} has the same effect.";
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file ? file : null;
        HelpName = "PATH";
    }

    /// <summary>Adds the option and its counterpart to a command.</summary>
    public void AddTo(Command command)
    {
        command.Add(this);
        command.Add(_none);
    }

    /// <summary>Reads the configuration arguments.</summary>
    /// <exception cref="CommandException">Both options are given.</exception>
    public HostArguments Read(ParseResult parsed, ConfigurationKeys keys)
    {
        bool none = parsed.GetValue(_none);
        return none && parsed.GetResult(this) is { Implicit: false }
            ? throw new CommandException($"{Name} names a configuration file, and {_none.Name} refuses it. Leave one of them out.")
            : new HostArguments(none ? null : parsed.GetValue(this), keys.Keys, none);
    }
}

using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary><c>--config</c>: the file to read in place of the one beside the program.</summary>
internal sealed class ConfigurationFileOption : Option<string?>
{
    /// <summary>Names the file where the option does not: for a container, of which each command should read the same.</summary>
    private const string Variable = "STREAMSHOST_CONFIG";

    public ConfigurationFileOption()
        : base("--config")
    {
        Description = "The configuration file, in place of the appsettings.json beside the program. Followed while the host runs. "
            + $"The variable {Variable} names it as well.";
        DefaultValueFactory = _ => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file ? file : null;
        HelpName = "PATH";
    }
}

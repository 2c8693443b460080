using System.CommandLine;

namespace StreamsHost.Commands;

/// <summary><c>--config</c>: the file to read in place of the one beside the program.</summary>
internal sealed class ConfigurationFileOption : Option<string?>
{
    public ConfigurationFileOption()
        : base("--config")
    {
        Description = "The configuration file, in place of the appsettings.json beside the program. Followed while the host runs.";
        HelpName = "PATH";
    }
}

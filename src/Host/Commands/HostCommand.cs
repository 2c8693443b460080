using System.CommandLine;
using System.CommandLine.Help;

namespace StreamsHost.Commands;

/// <summary>The command line. Without a command, the host runs.</summary>
internal sealed class HostCommand : RootCommand
{
    private readonly RunCommand _run;

    public HostCommand(ConfigurationKeys keys)
        : base("Hosts byte-stream services on TCP and Unix sockets. Without a command, it runs the configured endpoints.")
    {
        var file = new ConfigurationFileOption();
        _run = new RunCommand(keys, file);
        Add(file);
        Add(_run);
        Action = _run.Action;
        foreach (HelpOption help in Options.OfType<HelpOption>())
        {
            help.Action = new ExamplesHelpAction((HelpAction)help.Action!);
        }
    }

    /// <summary>Whether a command is the one that runs the host.</summary>
    public bool IsRun(Command command) => command == this || command == _run;
}

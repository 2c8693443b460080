using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Help;

namespace StreamsHost.Commands;

/// <summary>The root command, which runs the host.</summary>
internal sealed class HostCommand : RootCommand
{
    private readonly RunCommand _run;

    public HostCommand(ConfigurationKeys keys)
        : base("Hosts byte-stream services on TCP and Unix sockets. The default command is run.")
    {
        var file = new ConfigurationFileOption();
        _run = new RunCommand(keys, file);
        file.AddTo(this);
        foreach (Command command in (Command[])
            [
                _run,
                new RelayCommand(keys),
                new CheckCommand(keys, file),
                new PrintConfigCommand(keys, file),
                new SchemaCommand(),
                new HealthcheckCommand(keys, file),
                new ConnectCommand(),
                new BenchCommand(),
                new CompletionCommand(),
                new ManualCommand(this),
            ])
        {
            Add(command);
        }

        Action = _run.Action;
        foreach (SuggestDirective suggest in Directives.OfType<SuggestDirective>())
        {
            suggest.Action = new Suggestions(suggest, keys.Others);
        }

        foreach (HelpOption help in Options.OfType<HelpOption>())
        {
            help.Action = new ExamplesHelpAction((HelpAction)help.Action!);
        }
    }

    /// <summary>Whether a command runs the host.</summary>
    public bool IsRun(Command command) => command == this || command is RunCommand or RelayCommand;
}

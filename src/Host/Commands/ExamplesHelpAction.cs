using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace StreamsHost.Commands;

/// <summary>The help of a command, followed by its examples.</summary>
internal sealed class ExamplesHelpAction(HelpAction help) : SynchronousCommandLineAction
{
    /// <summary>Examples of the program, without its name.</summary>
    public static IReadOnlyList<string> OfTheProgram { get; } =
    [
        "",
        "--config /etc/streamshost/appsettings.json",
        "--ByteStreams:Endpoints:echo:Url=tcp://*:7007",
        "check --config /etc/streamshost/appsettings.json",
        "connect tcp://127.0.0.1:7007",
    ];

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int code = help.Invoke(parseResult);
        TextWriter output = parseResult.InvocationConfiguration.Output;
        Command command = parseResult.CommandResult.Command;
        if (command is not HostSubcommand { TakesConfiguration: false })
        {
            output.WriteLine("Keys:");
            output.WriteLine("  Any configuration key is an option as well: --ByteStreams:Endpoints:echo:Url=tcp://*:7007");
            output.WriteLine();
        }

        output.WriteLine("Examples:");
        foreach (string example in (command as HostSubcommand)?.Examples ?? OfTheProgram)
        {
            output.WriteLine($"  {RootCommand.ExecutableName} {example}".TrimEnd());
        }

        output.WriteLine();
        return code;
    }
}

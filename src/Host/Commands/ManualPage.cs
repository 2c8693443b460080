using System.CommandLine;
using System.Reflection;
using System.Text;
using StreamsHost.Configuration;

namespace StreamsHost.Commands;

/// <summary>The manual page, in the macros of man(7).</summary>
internal sealed class ManualPage
{
    private const string Program = "streamshost";

    private const int LongestLine = 79;

    private static readonly (string Name, string Text)[] Signals =
    [
        ("SIGTERM, SIGINT, SIGQUIT", "Stop: no connection is accepted, handlers are requested to stop, and what was written is delivered. A second signal resets the connections that are left."),
        ("SIGHUP", "Reloads the configuration and the certificates. An invalid configuration or certificate changes nothing, and is logged."),
    ];

    private static readonly (string Name, string Text)[] ExitStatus =
    [
        ("0", "Every connection was closed normally, and everything that was written was sent."),
        ("1", "The arguments or the configuration are invalid, an address cannot be bound, or the command has failed. Standard error has one line for each error."),
        ("2", "run and relay: connections were aborted, at the deadline of the drain or by a second signal."),
        ("130", "connect: interrupted by Ctrl+C."),
        ("141", "connect: the reader of standard output has gone."),
    ];

    private static readonly (string Name, string Text)[] Environment =
    [
        (ConfigurationFileOption.Variable, "The configuration file, as --config names it."),
        ("ByteStreams__Endpoints__NAME__Url and others", "Any configuration key, with two underscores for each colon. The command line has precedence."),
        ("NO_COLOR", "If it is set, the output has no colours."),
    ];

    private readonly StringBuilder _page = new();

    private ManualPage()
    {
    }

    /// <summary>Writes the page about a program.</summary>
    public static string Write(HostCommand root)
    {
        var page = new ManualPage();
        page.WriteAll(root);
        return page._page.ToString();
    }

    private void WriteAll(HostCommand root)
    {
        Assembly program = typeof(ManualPage).Assembly;
        string version = program.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];
        string date = program.GetCustomAttributes<AssemblyMetadataAttribute>().Single(data => data.Key == "ReleaseDate").Value!;
        // The date without escapes.
        _page.Append($".TH STREAMSHOST 1 {date} \"StreamsHost {Escape(version)}\" \"User Commands\"\n");
        Macro("SH", "NAME");
        Text($"{Program} - {root.Description![..1].ToLowerInvariant()}{root.Description[1..root.Description.IndexOf('.')]}");
        Macro("SH", "SYNOPSIS");
        _page.Append(".B ").Append(Program).Append('\n');
        Text("[COMMAND] [OPTIONS] [--KEY=VALUE ...]");
        Macro("SH", "DESCRIPTION");
        Text(root.Description);
        Macro("PP");
        Text("run, check, print-config and healthcheck read a configuration file, and relay none. Any configuration key is an option as well, such as "
            + "--ByteStreams:Endpoints:echo:Url=tcp://*:7007.");
        Text($"{Program} schema prints every key with its description, range and default.");
        Macro("SH", "OPTIONS");
        Options(root);
        Macro("SH", "COMMANDS");
        foreach (Command command in root.Subcommands)
        {
            WriteCommand(command);
        }

        List("SIGNALS", Signals);
        List("EXIT STATUS", ExitStatus);
        List("ENVIRONMENT", Environment);
        List("FILES", [(HostConfiguration.SystemFile, "The configuration, if neither --config nor the variable names another file, and there is no appsettings.json in the program's folder.")]);
        Macro("SH", "EXAMPLES");
        Examples(ExamplesHelpAction.OfTheProgram);
        Macro("SH", "SEE ALSO");
        Text("systemd.service(5), openssl-s_client(1), nc(1)");
    }

    private void WriteCommand(Command command)
    {
        Macro("SS", [command.Name, .. command.Arguments.Select(argument => argument.Arity.MaximumNumberOfValues > 1 ? $"{argument.Name}..." : argument.Name)]);
        Text(command.Description!);
        foreach (Argument argument in command.Arguments)
        {
            Item(argument.Name, argument.Description!);
        }

        Options(command);
        if (command is HostSubcommand { Examples: { Count: > 0 } examples })
        {
            Macro("PP");
            Text(examples.Count == 1 ? "Example:" : "Examples:");
            Examples(examples);
        }
    }

    /// <summary>Options of every command are among those of the program.</summary>
    private void Options(Command command)
    {
        foreach (Option option in command.Options.Where(option => !option.Hidden))
        {
            string names = string.Join(", ", option.Aliases.Where(alias => alias is ['-', not '?', ..]).Append(option.Name).Distinct());
            Item(option.HelpName is string value ? $"{names} {value}" : names, option.Description!);
        }
    }

    private void List(string title, (string Name, string Text)[] items)
    {
        Macro("SH", title);
        foreach ((string name, string text) in items)
        {
            Item(name, text);
        }
    }

    private void Item(string name, string text)
    {
        Macro("TP");
        _page.Append(".B ").Append(Quote(name)).Append('\n');
        Text(text);
    }

    private void Examples(IEnumerable<string> examples)
    {
        Macro("RS", "4");
        Macro("nf");
        foreach (string arguments in examples)
        {
            _page.Append(Escape($"{Program} {arguments}".TrimEnd())).Append('\n');
        }

        Macro("fi");
        Macro("RE");
    }

    private void Text(string text)
    {
        int length = 0;
        foreach (string word in Escape(text).Split(' '))
        {
            bool begins = length == 0 || length + 1 + word.Length > LongestLine;
            string separator = length == 0 ? string.Empty : begins ? "\n" : " ";
            // A line that begins with a dot or an apostrophe would be a macro.
            string guard = begins && word is ['.' or '\'', ..] ? "\\&" : string.Empty;
            _page.Append(separator).Append(guard).Append(word);
            length = guard.Length + word.Length + (begins ? 0 : length + 1);
        }

        _page.Append('\n');
    }

    private void Macro(string name, params IEnumerable<string> arguments) => _page.Append('.').AppendJoin(' ', arguments.Select(Quote).Prepend(name)).Append('\n');

    private static string Quote(string argument) => $"\"{Escape(argument).Replace("\"", "\\(dq", StringComparison.Ordinal)}\"";

    /// <summary>A hyphen as it is typed, and no escape of the text's own.</summary>
    private static string Escape(string text) => text.Replace("\\", "\\e", StringComparison.Ordinal).Replace("-", "\\-", StringComparison.Ordinal);
}

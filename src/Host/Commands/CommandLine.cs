using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using ByteStreams;
using ByteStreams.Configuration;

namespace StreamsHost.Commands;

/// <summary>From the arguments to a command, and from what went wrong to one line for each mistake and the exit code 1.</summary>
internal static class CommandLine
{
    /// <summary>What went wrong: the arguments, the configuration, or what a command was there to find out.</summary>
    public const int Failed = 1;

    private static readonly ParserConfiguration Grammar = new()
    {
        // An argument that begins with @ is one: unix:@name has a relative here.
        ResponseFileTokenReplacer = null,
        EnablePosixBundling = false,
    };

    /// <summary>Runs the command that the arguments name.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var keys = new ConfigurationKeys(arguments);
        HostCommand root = new(keys);
        ParseResult parsed = root.Parse(keys.Others, Grammar);
        IReadOnlyList<string> mistakes = [.. keys.Mistakes, .. Mistakes(parsed, keys)];
        if (mistakes.Count > 0)
        {
            return Tell(mistakes);
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                // The host handles signals itself, and takes its time to drain.
                ProcessTerminationTimeout = root.IsRun(parsed.CommandResult.Command) ? null : TimeSpan.FromSeconds(2),
            });
        }
        catch (EndpointConfigurationException wrong)
        {
            return Tell(wrong.Errors);
        }
        catch (CommandException failed)
        {
            return Tell([failed.Message]);
        }
        catch (Exception unreadable) when (unreadable is InvalidDataException or FormatException or IOException or UnauthorizedAccessException)
        {
            // A file that is no JSON, or may not be read: the message says which, the inner ones why and where.
            return Tell([Line(unreadable)]);
        }
    }

    /// <summary>Writes mistakes to standard error, each in a line.</summary>
    /// <returns>The exit code.</returns>
    public static int Tell(IEnumerable<string> mistakes)
    {
        foreach (string mistake in mistakes)
        {
            Console.Error.WriteLine(mistake.ReplaceLineEndings(" "));
        }

        return Failed;
    }

    /// <summary>An error and what is behind it, in a line.</summary>
    public static string Line(Exception error)
    {
        var messages = new List<string>();
        for (Exception? inner = error; inner is not null; inner = inner.InnerException)
        {
            string message = inner is JsonException { LineNumber: long line, BytePositionInLine: long position }
                // Counted from one, as editors do.
                ? string.Create(CultureInfo.InvariantCulture, $"{inner.Message.Split(" LineNumber:")[0]} Line {line + 1}, byte {position + 1}.")
                : inner.Message;
            if (!messages.Exists(told => told.Contains(message, StringComparison.Ordinal)))
            {
                messages.Add(message);
            }
        }

        return string.Join(' ', messages);
    }

    private static IEnumerable<string> Mistakes(ParseResult parsed, ConfigurationKeys keys)
    {
        Command command = parsed.CommandResult.Command;
        if (parsed.RootCommandResult.Command is RootCommand root && root.Directives.Any(directive => parsed.GetResult(directive) is not null))
        {
            // [suggest] is about what is not finished yet.
            return [];
        }

        if (parsed.UnmatchedTokens.Count > 0)
        {
            // What follows an option that is none may be its value, of which nothing else is known.
            return parsed.UnmatchedTokens
                .Where((token, i) => token.StartsWith('-') || i == 0 || !parsed.UnmatchedTokens[i - 1].StartsWith('-'))
                .Select(token => Unknown(token, command));
        }

        if (parsed.Errors.Count > 0)
        {
            return parsed.Errors.Select(error => $"{error.Message.TrimEnd('.')}. See {Path(command)} --help.");
        }

        return keys.Keys.Count > 0 && command is HostSubcommand { TakesConfiguration: false }
            ? [$"{command.Name} takes no configuration keys, such as {keys.Keys[0].Split('=')[0]}."]
            : [];
    }

    /// <summary>The message about an argument that nobody takes, with the nearest that somebody would.</summary>
    private static string Unknown(string token, Command command)
    {
        bool isOption = token.StartsWith('-');
        string name = token.Split('=', 2)[0];
        List<string> known = isOption
            ? [.. command.Options.Select(option => option.Name), .. HostConfiguration.Sections.Select(section => $"--{section}")]
            : [.. command.Subcommands.Select(subcommand => subcommand.Name)];
        string what = isOption ? "option" : known.Count > 0 ? "command" : "argument";
        string remedy = SettingTable.Nearest(name, known) is string nearest ? $"Did you mean '{nearest}'?" : $"See {Path(command)} --help.";
        return $"'{name}' is no {what} of {Path(command)}. {remedy}";
    }

    private static string Path(Command command) => command is RootCommand ? command.Name : $"{RootCommand.ExecutableName} {command.Name}";
}

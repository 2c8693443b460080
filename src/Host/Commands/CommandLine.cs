using System.CommandLine;
using ByteStreams;
using StreamsHost.Configuration;
using StreamsHost.Output;

namespace StreamsHost.Commands;

/// <summary>Parses the arguments, runs the command, and reports errors: one line each, and exit code 1.</summary>
internal static class CommandLine
{
    /// <summary>The exit code of errors in the arguments or the configuration, and of a failed command.</summary>
    public const int Failed = 1;

    private static readonly ParserConfiguration Grammar = new()
    {
        // An argument may begin with @, which is no response file here.
        ResponseFileTokenReplacer = null,
        EnablePosixBundling = false,
    };

    /// <summary>Runs the command in the arguments.</summary>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        var keys = new ConfigurationKeys(arguments);
        HostCommand root = new(keys);
        ParseResult parsed = root.Parse(keys.Others, Grammar);
        IReadOnlyList<string> errors = [.. keys.Errors, .. Validate(parsed, keys)];
        if (errors.Count > 0)
        {
            return Report(errors);
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                // The host handles signals itself, to drain.
                ProcessTerminationTimeout = root.IsRun(parsed.CommandResult.Command) ? null : TimeSpan.FromSeconds(2),
            });
        }
        catch (EndpointConfigurationException wrong)
        {
            return Report(wrong.Errors);
        }
        catch (CommandException failed)
        {
            return Report([failed.Message]);
        }
        catch (Exception unreadable) when (unreadable is InvalidDataException or FormatException or IOException or UnauthorizedAccessException)
        {
            // A file that is not valid JSON or not readable: the message names it, inner messages the cause and position.
            return Report([ErrorText.From(unreadable)]);
        }
    }

    /// <summary>Writes errors to standard error, one line each.</summary>
    /// <returns>The exit code.</returns>
    public static int Report(IEnumerable<string> errors)
    {
        foreach (string error in errors)
        {
            Console.Error.WriteLine(error.ReplaceLineEndings(" "));
        }

        return Failed;
    }

    private static IEnumerable<string> Validate(ParseResult parsed, ConfigurationKeys keys)
    {
        Command command = parsed.CommandResult.Command;
        if (parsed.RootCommandResult.Command is RootCommand root && root.Directives.Any(directive => parsed.GetResult(directive) is not null))
        {
            // [suggest] completes an incomplete command line.
            return [];
        }

        if (parsed.UnmatchedTokens.Count > 0)
        {
            // The argument after an unknown option may be its value.
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

    /// <summary>The error about an unknown argument, with the nearest known one.</summary>
    private static string Unknown(string token, Command command)
    {
        bool isOption = token.StartsWith('-');
        string name = token.Split('=', 2)[0];
        List<string> known = isOption
            ? [.. command.Options.Select(option => option.Name), .. HostConfiguration.Sections.Select(section => $"--{section}")]
            : [.. command.Subcommands.Select(subcommand => subcommand.Name)];
        string what = isOption ? "option" : known.Count > 0 ? "command" : "argument";
        string remedy = ByteStreamConfiguration.FindNearest(name, known) is string nearest ? $"Did you mean '{nearest}'?" : $"See {Path(command)} --help.";
        return $"'{name}' is no {what} of {Path(command)}. {remedy}";
    }

    private static string Path(Command command) => command is RootCommand ? command.Name : $"{RootCommand.ExecutableName} {command.Name}";
}

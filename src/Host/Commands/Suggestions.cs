using System.CommandLine;
using System.CommandLine.Completions;
using System.CommandLine.Invocation;
using System.Globalization;

namespace StreamsHost.Commands;

/// <summary>
/// Prints what the word at the cursor can become, one suggestion a line: <c>streamshost "[suggest:6]" "relay "</c>. Called by the scripts of
/// <see cref="CompletionCommand"/> and by dotnet-suggest. Without a suggestion the shell offers names of files.
/// </summary>
/// <param name="directive">The directive, whose value is the position of the cursor.</param>
/// <param name="arguments">The arguments as they were given: the last one is the line without the program's name.</param>
internal sealed class Suggestions(SuggestDirective directive, IReadOnlyList<string> arguments) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    /// <summary>Whether arguments ask for suggestions.</summary>
    public static bool AreAskedFor(IReadOnlyList<string> arguments) => arguments.Count > 0 && arguments[0].StartsWith("[suggest", StringComparison.Ordinal);

    public override int Invoke(ParseResult parseResult)
    {
        string line = arguments.Count > 1 ? arguments[^1] : string.Empty;
        string? position = parseResult.GetResult(directive) is { Values: [string first, ..] } ? first : null;
        if (int.TryParse(position, NumberStyles.None, CultureInfo.InvariantCulture, out int cursor) && cursor < line.Length)
        {
            line = line[..cursor];
        }

        foreach (string suggestion in Find(parseResult.RootCommandResult.Command, line))
        {
            parseResult.InvocationConfiguration.Output.WriteLine(suggestion);
        }

        return 0;
    }

    /// <summary>Suggests for the last word of a line.</summary>
    private static IEnumerable<string> Find(Command root, string line)
    {
        string word = line[(line.LastIndexOf(' ') + 1)..];
        ParseResult parsed = root.Parse(line);
        IEnumerable<string> all = parsed.GetCompletions(line.Length).Select(completion => completion.InsertText ?? completion.Label);
        if (!word.StartsWith('-'))
        {
            return all.Where(one => one.StartsWith(word, StringComparison.Ordinal) && one[0] is not ('-' or '/'));
        }

        Command command = parsed.CommandResult.Command;
        IEnumerable<string> keys = command is HostSubcommand { TakesConfiguration: false } ? [] : KeySuggestions.Find(word);
        return [.. all.Where(one => one.StartsWith(word, StringComparison.Ordinal) && one.StartsWith("--", StringComparison.Ordinal)), .. keys];
    }
}

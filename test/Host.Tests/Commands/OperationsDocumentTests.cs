using System.Text.RegularExpressions;

namespace StreamsHost.Tests.Commands;

/// <summary>docs/operations.md names the commands and options that the program's own help does, and no others.</summary>
public sealed partial class OperationsDocumentTests
{
    private static readonly string[] Everywhere = ["--help", "--version", "--config"];

    [Fact(Timeout = 120000)]
    public async Task CommandLine_HelpOfEachCommand_IsInTheDocument()
    {
        string text = Repository.Read("docs/operations.md");
        string section = text[text.IndexOf("## Command line\n", StringComparison.Ordinal)..];
        section = section.IndexOf("\n## ", StringComparison.Ordinal) is > 0 and int end ? section[..end] : section;
        string help = (await Cli.RunAsync("--help")).Output;
        string[] commands = [.. Command().Matches(help[help.IndexOf("Commands:", StringComparison.Ordinal)..help.IndexOf("Keys:", StringComparison.Ordinal)]).Select(match => match.Groups[1].Value)];

        Assert.Equal(commands, DocumentedCommand().Matches(section).Select(match => match.Groups[1].Value));
        var options = new SortedSet<string>(StringComparer.Ordinal);
        foreach (string command in commands)
        {
            string ofCommand = (await Cli.RunAsync(command, "--help")).Output;
            Assert.Contains($"Examples:{Environment.NewLine}  StreamsHost {command}", ofCommand, StringComparison.Ordinal);
            options.UnionWith(Option().Matches(ofCommand).Select(match => match.Groups[1].Value));
        }

        options.UnionWith(Everywhere);
        Assert.Equal(options, DocumentedOption().Matches(section).Select(match => match.Groups[1].Value).ToHashSet().Order(StringComparer.Ordinal));
    }

    [GeneratedRegex("^  ([a-z-]+) ", RegexOptions.Multiline)]
    private static partial Regex Command();

    [GeneratedRegex("^\\| `([a-z][a-z-]*)` \\|", RegexOptions.Multiline)]
    private static partial Regex DocumentedCommand();

    [GeneratedRegex("^  [^<\\n]*?(--[a-z-]+)", RegexOptions.Multiline)]
    private static partial Regex Option();

    // Not a project of dotnet run, and not the end of its own options.
    [GeneratedRegex("(?<!-)(--(?!project)[a-z]+(-[a-z]+)*)")]
    private static partial Regex DocumentedOption();
}

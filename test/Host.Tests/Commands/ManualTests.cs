using System.Text;
using System.Text.RegularExpressions;
using ByteStreams.Interop.Tests;

namespace StreamsHost.Tests.Commands;

/// <summary>The manual page: it has what the help has, and mandoc finds nothing to remark.</summary>
public sealed partial class ManualTests
{
    [Fact(Timeout = 60000)]
    [Trait("Peer", "mandoc")]
    public async Task Manual_Mandoc_HasNoRemarkAndShowsEveryCommandWithItsOptions()
    {
        byte[] page = (await Cli.RunAsync("man")).Bytes;
        await using (Peer lint = Peer.Start("mandoc", "-T", "lint", "-W", "style"))
        {
            await lint.SendAsync(page);
            // A remark of mandoc's own copy: this system may lack the pages of other programs.
            Assert.DoesNotContain(
                (await lint.ExitAsync()).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries),
                line => !line.Contains("referenced manual not found", StringComparison.Ordinal));
        }

        await using Peer mandoc = Peer.Start("mandoc", "-T", "utf8", "-O", "width=400");
        await mandoc.SendAsync(page);
        string text = Overstrike().Replace(await mandoc.FinishAsync(), string.Empty);
        string help = (await Cli.RunAsync("--help")).Output;
        string[] commands = [.. Command().Matches(help[help.IndexOf("Commands:", StringComparison.Ordinal)..help.IndexOf("Keys:", StringComparison.Ordinal)]).Select(match => match.Groups[1].Value)];
        Assert.Contains("relay", commands);
        Assert.Equal(commands, Section().Matches(text[text.IndexOf("\nCOMMANDS", StringComparison.Ordinal)..]).Select(match => match.Groups[1].Value));
        foreach (string command in commands)
        {
            string ofCommand = text[text.IndexOf($"\n   {command}", StringComparison.Ordinal)..];
            string itsHelp = (await Cli.RunAsync(command, "--help")).Output.Split("\nExamples:")[0];
            // --help is an option of the program.
            foreach (Match option in Option().Matches(itsHelp).Where(option => option.Groups[1].Value != "--help"))
            {
                string name = option.Groups[1].Value.Replace("<", string.Empty, StringComparison.Ordinal).Replace(">", string.Empty, StringComparison.Ordinal);
                Assert.Matches($" {name}[\n ]", ofCommand);
            }
        }
    }

    [Fact(Timeout = 60000)]
    public async Task Manual_Title_HasTheVersionAndTheDateOfTheChangelog()
    {
        Match release = Release().Match(Repository.Read("CHANGELOG.md"));

        string title = Encoding.UTF8.GetString((await Cli.RunAsync("man")).Bytes).Split('\n')[0];

        Assert.Equal($".TH STREAMSHOST 1 {release.Groups[2].Value} \"StreamsHost {release.Groups[1].Value}\" \"User Commands\"", title);
    }

    [GeneratedRegex(@"^## \[([0-9.]+)\] - ([0-9-]+)$", RegexOptions.Multiline)]
    private static partial Regex Release();

    [GeneratedRegex(".\u0008")]
    private static partial Regex Overstrike();

    [GeneratedRegex("^  ([a-z-]+) ", RegexOptions.Multiline)]
    private static partial Regex Command();

    [GeneratedRegex("^   ([a-z-]+)", RegexOptions.Multiline)]
    private static partial Regex Section();

    [GeneratedRegex("^  [^<\\n]*?(--[a-z-]+(?: <[A-Z]+>)?)", RegexOptions.Multiline)]
    private static partial Regex Option();
}

using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>docs/security.md claims nothing without a test, and none that is not there.</summary>
public partial class SecurityDocumentTests
{
    private static readonly string Text = File.ReadAllText(Path.Combine(Repository.Root, "docs/security.md"));

    [Fact]
    public void Document_EachTestThatItNames_IsThere()
    {
        HashSet<string> there = [.. Directory.EnumerateFiles(Path.Combine(Repository.Root, "test"), "*.cs", SearchOption.AllDirectories)
            .SelectMany(file => Method().Matches(File.ReadAllText(file)).Select(match => match.Groups[1].Value))];
        string[] named = [.. Name().Matches(Text).Select(match => match.Groups[1].Value).Distinct()];

        Assert.InRange(named.Length, 30, 1000);
        Assert.Equal([], named.Except(there));
    }

    [Fact]
    public void Document_EachBound_NamesItsTest()
    {
        string[] rows = [.. Section("## What a peer can spend").Split('\n').Where(line => line.StartsWith("| ", StringComparison.Ordinal) && !line.StartsWith("| What |", StringComparison.Ordinal))];

        Assert.InRange(rows.Length, 15, 100);
        Assert.All(rows, row => Assert.Matches(Name(), row));
    }

    private static string Section(string heading)
    {
        int begin = Text.IndexOf(heading, StringComparison.Ordinal);
        return Text[begin..Text.IndexOf("\n## ", begin + 1, StringComparison.Ordinal)];
    }

    [GeneratedRegex(@"`([A-Z][A-Za-z0-9]*_\w+)`")]
    private static partial Regex Name();

    [GeneratedRegex(@"(?:Task|void) ([A-Z][A-Za-z0-9]*_\w+)\(")]
    private static partial Regex Method();
}

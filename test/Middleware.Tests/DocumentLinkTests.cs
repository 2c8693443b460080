using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>Each relative link of a page leads to a file, and to a heading if it names one.</summary>
public sealed partial class DocumentLinkTests
{
    public static TheoryData<string> Pages =>
    [
        "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
        "test/Benchmarks/README.md", "test/Benchmarks/Parts/README.md", "test/Testing/README.md",
        .. Directory.EnumerateFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories)
            .Select(page => Path.GetRelativePath(Repository.Root, page)),
    ];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Page_RelativeLinks_LeadToAFileAndItsHeading(string page)
    {
        string[] broken =
        [
            .. Link().Matches(Repository.Read(page)).Select(match => match.Groups[1].Value)
                .Where(target => !target.Contains("://", StringComparison.Ordinal) && !Exists(page, target)),
        ];

        Assert.Equal([], broken);
    }

    private static bool Exists(string page, string target)
    {
        string[] parts = target.Split('#');
        string path = Path.Combine(Repository.Root, parts[0].Length == 0 ? page : Path.Combine(Path.GetDirectoryName(page)!, parts[0]));
        return (File.Exists(path) || Directory.Exists(path))
            && (parts.Length == 1 || Heading().Matches(File.ReadAllText(path)).Any(match => Anchor(match.Groups[1].Value) == parts[1]));
    }

    /// <summary>The fragment that GitHub gives to a heading.</summary>
    private static string Anchor(string heading) =>
        new([.. heading.Trim().ToLowerInvariant().Where(letter => char.IsLetterOrDigit(letter) || letter is ' ' or '-' or '_').Select(letter => letter == ' ' ? '-' : letter)]);

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex("^#+ (.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();
}

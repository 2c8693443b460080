using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>The pages refer to files of the repository, and headings of pages, that exist.</summary>
public sealed partial class DocumentLinkTests
{
    public static TheoryData<string> Pages =>
    [
        .. Repository.Files(".", "*.md").Where(path => path.StartsWith("docs/", StringComparison.Ordinal) || !path.Contains('/', StringComparison.Ordinal)).Order(),
        "test/Benchmarks/README.md", "test/Benchmarks/Parts/README.md", "test/Testing/README.md",
    ];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Link_ToAFileOrHeading_TheTargetExists(string page)
    {
        Assert.Empty(
            from Match link in Link().Matches(Repository.Read(page))
            where !Exists(page, link.Groups["path"].Value, link.Groups["fragment"].Value)
            select link.Value);
    }

    private static bool Exists(string page, string path, string fragment)
    {
        string target = path.Length == 0 ? page : Path.Combine(Path.GetDirectoryName(page)!, path);
        return Path.Exists(Path.Combine(Repository.Root, target))
            && (fragment.Length == 0 || Heading().Matches(Repository.Read(target)).Any(heading => Fragment(heading.Groups[1].Value) == fragment));
    }

    /// <summary>The fragment that GitHub gives to a heading.</summary>
    private static string Fragment(string heading) =>
        new([.. heading.ToLowerInvariant().Where(letter => char.IsLetterOrDigit(letter) || letter is ' ' or '-' or '_').Select(letter => letter == ' ' ? '-' : letter)]);

    /// <summary>A relative link.</summary>
    [GeneratedRegex(@"\]\((?![a-z]+:)(?<path>[^)#\s]*)#?(?<fragment>[^)\s]*)\)")]
    private static partial Regex Link();

    [GeneratedRegex("^#+ (.+)$", RegexOptions.Multiline)]
    private static partial Regex Heading();
}

using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>The pages refer to files of the repository that exist.</summary>
public sealed partial class DocumentLinkTests
{
    public static TheoryData<string> Pages => [.. Repository.Files(".", "*.md").Where(path => path.StartsWith("docs/", StringComparison.Ordinal) || !path.Contains('/', StringComparison.Ordinal)).Order()];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Link_ToAFile_TheFileExists(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(Repository.Root, page))!;
        Assert.Empty(
            from Match link in Link().Matches(Repository.Read(page))
            let target = link.Groups["target"].Value
            where !Path.Exists(Path.Combine(folder, target))
            select target);
    }

    /// <summary>The target of a relative link, without its fragment.</summary>
    [GeneratedRegex(@"\]\((?![a-z]+:|#)(?<target>[^)#\s]+)")]
    private static partial Regex Link();
}

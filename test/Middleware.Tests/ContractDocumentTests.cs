using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>docs/contract.md has every statement that a test or a comment refers to, and each of its statements has a test.</summary>
public partial class ContractDocumentTests
{
    private static readonly string[] Statements =
        [.. Row().Matches(Repository.Read("docs/contract.md")).Select(match => match.Groups[1].Value)];

    [Fact]
    public void Document_EachStatement_IsNumberedOnceAndInOrder()
    {
        string[] expected =
        [
            .. from series in Statements.GroupBy(id => id[0])
               from number in Enumerable.Range(1, series.Count())
               select $"{series.Key}{number}",
        ];

        Assert.Equal(70, Statements.Length);
        Assert.Equal(expected, Statements);
    }

    [Fact]
    public void Document_EachStatement_HasATestAndEachTraitAStatement()
    {
        string[] traits = [.. Matches("test", Trait()).Where(id => !id.StartsWith('F')).Distinct()];

        Assert.Equal([], Statements.Except(traits));
        Assert.Equal([], traits.Except(Statements));
    }

    [Fact]
    public void Source_EachStatementThatACommentNames_IsInTheDocument()
    {
        string[] named = [.. Matches("src", Reference()).Distinct()];

        Assert.InRange(named.Length, 10, 1000);
        Assert.Equal([], named.Except(Statements));
    }

    private static IEnumerable<string> Matches(string folder, Regex expression) =>
        from file in Directory.EnumerateFiles(Path.Combine(Repository.Root, folder), "*.cs", SearchOption.AllDirectories)
        where !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
        from Match match in expression.Matches(File.ReadAllText(file))
        select match.Groups[1].Value;

    [GeneratedRegex(@"^\| ([A-Z]\d+) \|", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex(@"Trait\(""(?:Contract|Fault)"", ""([A-Z]\d+)""\)")]
    private static partial Regex Trait();

    [GeneratedRegex(@"\(([RWSCUP]\d+)\)")]
    private static partial Regex Reference();
}

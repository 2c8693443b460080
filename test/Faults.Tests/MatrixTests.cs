using System.Text.Json;
using System.Text.RegularExpressions;

namespace ByteStreams.Faults.Tests;

/// <summary>Every row of the matrix has its tests, and docs/faults.md tells of every row.</summary>
public sealed partial class MatrixTests
{
    private static readonly JsonSerializerOptions Names = new(JsonSerializerDefaults.Web);

    private static readonly Row[] Rows = JsonSerializer.Deserialize<Row[]>(
        typeof(MatrixTests).Assembly.GetManifestResourceStream("matrix.json")!, Names)!;

    [Fact]
    public void Matrix_EachTestOfARow_ExistsAndNamesTheRow()
    {
        ILookup<string, string> tests = TestsByFault();
        string[] wrong =
        [
            .. Rows.Where(row => row.Tests.Length == 0).Select(row => $"{row.Id} has no test"),
            .. from row in Rows
               from test in row.Tests
               where !tests[row.Id].Contains(test)
               select $"{row.Id}: there is no {test} with Trait(\"Fault\", \"{row.Id}\")",
            .. from row in Rows
               from test in tests[row.Id]
               where test.Contains("Rows.", StringComparison.Ordinal) && !row.Tests.Contains(test)
               select $"{row.Id}: its own test {test} is not in matrix.json",
            .. tests.Select(group => group.Key).Except(Rows.Select(row => row.Id)).Select(id => $"tests name {id}, which is no row of matrix.json"),
        ];
        Assert.True(wrong.Length == 0, string.Join('\n', wrong));
    }

    [Fact]
    public void Matrix_EachRow_IsInTheDocumentWithItsTests()
    {
        string document = File.ReadAllText(Path.Combine(Repository.Root, "docs/faults.md"));
        // The part on soaking has lines of rows too.
        string[] lines = document.Split("<!-- rows -->")[1].Split("<!-- end of rows -->")[0].Split('\n');
        string[] wrong =
        [
            .. from row in Rows
               let line = lines.SingleOrDefault(line => line.StartsWith($"| {row.Id} ", StringComparison.Ordinal))
               where line is null || !Good().IsMatch(line) || row.Tests.Any(test => !line.Contains(test.Split('.')[^1], StringComparison.Ordinal))
               select $"{row.Id}: {line ?? "is missing"}",
        ];
        Assert.True(wrong.Length == 0, $"docs/faults.md does not tell of these rows and their tests; write it anew with test/Faults.Tests/run:\n{string.Join('\n', wrong)}");
    }

    /// <summary>Class.Method of each test that names a row, itself or by its class, from the sources: most are in other projects.</summary>
    private static ILookup<string, string> TestsByFault() => (
        from file in Directory.EnumerateFiles(Path.Combine(Repository.Root, "test"), "*.cs", SearchOption.AllDirectories)
        where !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
        let text = File.ReadAllText(file)
        from Match method in Method().Matches(text)
        let type = Type().Matches(text[..method.Index]).LastOrDefault()
        where type is not null
        from Match fault in Fault().Matches(type.Groups["attributes"].Value + method.Groups["attributes"].Value)
        select (Fault: fault.Groups["id"].Value, Test: $"{type.Groups["name"].Value}.{method.Groups["name"].Value}")).ToLookup(test => test.Fault, test => test.Test);

    [GeneratedRegex(@"(?<attributes>(^ +\[[^\n]*\]\n( *//[^\n]*\n)*)+) *public [\w<>\[\] ]*?(?<name>\w+)\(", RegexOptions.Multiline)]
    private static partial Regex Method();

    [GeneratedRegex(@"\| passed(; missed: [^|]+)? \|")]
    private static partial Regex Good();

    [GeneratedRegex(@"Trait\(""Fault"", ""(?<id>\w+)""\)")]
    private static partial Regex Fault();

    [GeneratedRegex(@"(?<attributes>(^\[[^\n]*\]\n)*)^(public |internal )?(abstract |sealed |partial )*class (?<name>\w+)", RegexOptions.Multiline)]
    private static partial Regex Type();

    private sealed record Row(string Id, bool FailsStockKestrel, string Case, string MustHappen, string[] Tests);
}

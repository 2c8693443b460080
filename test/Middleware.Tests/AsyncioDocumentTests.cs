using System.Reflection;
using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests;

/// <summary>docs/asyncio.md has a row for each public member of CPython's StreamReader, StreamWriter and Server, and for no other.</summary>
public sealed partial class AsyncioDocumentTests
{
    /// <summary>The members as CPython's inspect lists them; asyncio_members.py generates the file.</summary>
    private static readonly string[] Members =
        [.. Repository.Read("test/Middleware.Tests/Streams/asyncio-members.txt").Split('\n').Where(line => line is not ("" or ['#', ..]))];

    private static readonly Match[] Rows = [.. Row().Matches(Repository.Read("docs/asyncio.md")).Cast<Match>()];

    [Fact]
    public void Document_EachMemberOfCPython_HasOneRowAndEachRowAMember()
    {
        Assert.Equal(34, Members.Length);
        Assert.Equal(Members, Rows.Select(row => row.Groups["member"].Value));
    }

    [Fact]
    public void Document_EachRow_IsTheSameOrSaysHowItDiffersOrWhyItIsAbsent() =>
        Assert.Empty(
            from row in Rows
            where !Verdict().IsMatch(row.Groups["verdict"].Value)
                || row.Groups["verdict"].Value.StartsWith("not here", StringComparison.Ordinal) != (row.Groups["here"].Length == 0)
            select row.Value);

    [Fact]
    public void Document_EachCounterpart_IsAPublicMemberOfTheClass() =>
        Assert.Empty(
            from row in Rows
            where row.Groups["here"].Length > 0 && !Types(row.Groups["class"].Value).Any(type => Has(type, row.Groups["here"].Value))
            select row.Value);

    private static bool Has(Type type, string name) =>
        type.GetMember(name, BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static).Length > 0;

    private static Type[] Types(string name) => name switch
    {
        "StreamReader" => [typeof(ByteStreamReader)],
        "StreamWriter" => [typeof(ByteStreamWriter), typeof(ByteStreamWriterTlsExtensions)],
        _ => [typeof(ByteStreamServer)],
    };

    [GeneratedRegex(@"^\| `(?<member>(?<class>StreamReader|StreamWriter|Server)\.[^`]+)` \| (?:`(?<here>\w+)` )?\| (?<verdict>.*) \|$", RegexOptions.Multiline)]
    private static partial Regex Row();

    [GeneratedRegex("^(?:same|differs: .+|not here: .+)$")]
    private static partial Regex Verdict();
}

using ByteStreams.Transport.Sockets;

namespace ByteStreams.Middleware.Tests.Configuration;

public class InheritedSocketsTests
{
    private static readonly string Own = Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture);

    [Theory]
    [InlineData("2", "a:b", "a", new[] { 3 })]
    [InlineData("2", "a:b", "b", new[] { 4 })]
    [InlineData("3", "a:b:a", "a", new[] { 3, 5 })]
    [InlineData("1", null, "unknown", new[] { 3 })]
    [InlineData("3", "a", "unknown", new[] { 4, 5 })]
    public void Find_Name_GivesItsDescriptors(string count, string? names, string name, int[] expected) =>
        Assert.Equal(expected, new InheritedSockets(Own, count, names).Find(name));

    [Theory]
    [InlineData(null, null, "LISTEN_FDS is not set")]
    [InlineData("", null, "LISTEN_FDS is not set")]
    [InlineData("0", "", "LISTEN_FDS is 0")]
    [InlineData("two", "a", "LISTEN_FDS is two")]
    [InlineData("-1", "a", "LISTEN_FDS is -1")]
    [InlineData("2", "A:b", "The names are: A, b.")]
    [InlineData("1", "x:a", "The names are: x.")]
    public void Find_NotThere_ReportsTheCause(string? count, string? names, string cause)
    {
        IOException error = Assert.Throws<IOException>(() => new InheritedSockets(Own, count, names).Find("a"));

        Assert.Contains(cause, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(null, "not set")]
    [InlineData("1", "1")]
    public void Find_OfAnotherProcess_IsReported(string? processId, string shown)
    {
        IOException error = Assert.Throws<IOException>(() => new InheritedSockets(processId, "1", "a").Find("a"));

        Assert.Contains($"LISTEN_PID is {shown}, this is {Own}", error.Message, StringComparison.Ordinal);
    }
}

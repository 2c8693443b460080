namespace ByteStreams.Middleware.Tests;

public class SmokeTests
{
    [Fact]
    public async Task Pair_Line_Arrives()
    {
        var (first, second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            first.Writer.Write("x\n");
            Assert.Equal("x", await second.Reader.ReadTextLineAsync(cancellationToken: TestContext.Current.CancellationToken));
        }
    }
}

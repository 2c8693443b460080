using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests;

public sealed class PairTests
{
    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact, Trait("Contract", "W7")]
    public async Task CreatePair_OneEndAfterTheOtherIsDisposed_NeitherWaitsForALinger()
    {
        // Time stands still: a dispose that waited for the other end would never return.
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair(new() { TimeProvider = new FakeTimeProvider() });
        first.Writer.Write("bye\n"u8);

        await first.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Test);

        Assert.Equal("bye\n"u8.ToArray(), await second.Reader.ReadLineAsync(Test));
        await second.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60), Test);
        await first.Writer.WaitClosedAsync(Test).WaitAsync(TimeSpan.FromSeconds(60), Test);
    }
}

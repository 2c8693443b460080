using System.Buffers;
using System.IO.Pipelines;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>What only shows in a certain order of events: closing, disposing, an upgrade, a peer that runs inline.</summary>
public class ReaderTurnTests : ReaderTestBase
{
    [Fact]
    public async Task Detach_WhileAReadIsWakingUp_ReadsNoReturnedMemory()
    {
        var wakeUps = new Queued();
        var source = new OverChunks(limit: 100, wakeUps);
        source.Feed("ab");
        Task<byte[]> read = source.Reader.ReadLineAsync(Test).AsTask();
        source.Feed("cd");

        // A connection's disposal: the reader is closed, lets go, and the memory goes to others; only then the read goes on.
        source.Reader.Close();
        source.Reader.Detach();
        source.Input.TakeMemoryBack();
        wakeUps.RunAll();

        Assert.Empty(await read.WaitAsync(Soon, Test));
        Assert.True(source.Reader.AtEof);
        Assert.Equal("", await Get(source.Reader.ReadAsync(-1, Test)));
    }

    [Fact]
    public async Task Close_WhileAReadWaits_GivesItWhatIsBufferedAndThenTheEnd()
    {
        var source = new OverPipe(limit: 100);
        source.Feed("ab");
        ValueTask<byte[]> read = source.Reader.ReadLineAsync(Test);

        source.Reader.Close();

        Assert.Equal("ab", await Get(read));
        source.Feed("cd\n");
        Assert.Equal("", await Get(source.Reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task Read_WhileAnUpgradeIsAtWork_FailsAtOnceNamingBoth()
    {
        var plain = new Pipe();
        var reader = new ByteStreamReader(plain.Reader);
        await plain.Writer.WriteAsync(Bytes("a\nb"), Test);
        Assert.Equal("a\n", await Get(reader.ReadLineAsync(Test)));

        Assert.Equal("b", await Get(reader.BeginUpgradeAsync("StartTlsAsync")));

        foreach ((string name, Func<ByteStreamReader, CancellationToken, Task> read) in EveryRead())
        {
            var error = await Assert.ThrowsAsync<InvalidOperationException>(() => Task.Run(() => read(reader, Test), Test).WaitAsync(Soon, Test));
            Assert.Matches($@"\b{name}\b.*\bStartTlsAsync\b", error.Message);
        }

        var secret = new Pipe();
        reader.EndUpgrade(secret.Reader);
        await secret.Writer.WriteAsync(Bytes("c\n"), Test);
        Assert.Equal("c\n", await Get(reader.ReadLineAsync(Test)));
        Assert.Equal("<ByteStreamReader>", reader.ToString());
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task Upgrade_RefusedWithPlainBytesLeft_GoesOnPlain()
    {
        var plain = new Pipe();
        var reader = new ByteStreamReader(plain.Reader);
        await plain.Writer.WriteAsync(Bytes("a\nb\n"), Test);
        Assert.Equal("a\n", await Get(reader.ReadLineAsync(Test)));

        Assert.Equal("b\n", await Get(reader.BeginUpgradeAsync("StartTlsAsync")));
        reader.EndUpgrade(null);

        Assert.Equal("b\n", await Get(reader.ReadLineAsync(Test)));
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task Upgrade_WhileAReadWaits_IsRefusedAndTheReadGoesOn()
    {
        var plain = new Pipe();
        var reader = new ByteStreamReader(plain.Reader);
        ValueTask<byte[]> read = reader.ReadLineAsync(Test);

        var error = await Fails<InvalidOperationException, ReadOnlySequence<byte>>(reader.BeginUpgradeAsync("StartTlsAsync"));

        Assert.Matches("StartTlsAsync.*ReadLineAsync", error.Message);
        await plain.Writer.WriteAsync(Bytes("a\n"), Test);
        Assert.Equal("a\n", await Get(read));
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task Detach_DuringAnUpgrade_DoesNotWaitForIt()
    {
        var reader = new ByteStreamReader(new Pipe().Reader);
        await reader.BeginUpgradeAsync("StartTlsAsync");

        reader.Close();
        await Task.Run(reader.Detach, Test).WaitAsync(Soon, Test);
        reader.EndUpgrade(new Pipe().Reader);

        Assert.Equal("", await Get(reader.ReadAsync(-1, Test)));
    }

    [Fact]
    [Trait("Contract", "R17")]
    public async Task Read_PeerThatRunsInlineInsideItsFlush_MayCallTheReader()
    {
        var input = new Pipe();
        var output = new Pipe(new PipeOptions(readerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));
        var reader = new ByteStreamReader(input.Reader);
        // Time stands still: nothing but the read sends what was written.
        using var never = new DeferredFlush(new FakeTimeProvider());
        var writer = new ByteStreamWriter(output.Writer, reader, connection: null, logger: null, never);
        Task<byte[]> peer = Peer();
        writer.Write("question\n");

        // The read sends the question before it waits, and the peer's code runs inside that.
        byte[] answer = await Task.Run(() => reader.ReadLineAsync(Test).AsTask(), Test).WaitAsync(Soon, Test);

        Assert.Equal("answer\n", Text(answer));
        await Assert.ThrowsAsync<InvalidOperationException>(() => peer.WaitAsync(Soon, Test));

        async Task<byte[]> Peer()
        {
            await output.Reader.ReadAsync(Test).ConfigureAwait(false);
            ValueTask<byte[]> second = reader.ReadExactlyAsync(3, Test);
            await input.Writer.WriteAsync(Bytes("answer\n"), Test).ConfigureAwait(false);
            return await second.ConfigureAwait(false);
        }
    }

    /// <summary>Runs nothing before it is told to.</summary>
    private sealed class Queued : PipeScheduler
    {
        private readonly Queue<Action> _queue = new();

        public override void Schedule(Action<object?> action, object? state) => _queue.Enqueue(() => action(state));

        public void RunAll()
        {
            while (_queue.TryDequeue(out Action? action))
            {
                action();
            }
        }
    }
}

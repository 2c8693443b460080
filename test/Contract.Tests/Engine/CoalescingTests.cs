using System.Net;
using System.Text;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Contract.Tests.Engine;

/// <summary>How many sends the answers to pipelined requests take.</summary>
public sealed class CoalescingTests : IDisposable
{
    private readonly ScriptedChannel _channel = new();
    private readonly ByteStreamReader _reader;
    private readonly ByteStreamWriter _writer;

    public CoalescingTests()
    {
        var connection = new ChannelConnection(_channel, new IPEndPoint(IPAddress.Loopback, 1), null, new ByteStreamServerOptions());
        _reader = new ByteStreamReader(connection.Transport.Input);
        _writer = new ByteStreamWriter(connection.Transport.Output, _reader, connection, NullLogger.Instance, DeferredFlush.Shared);
        _channel.Deliver("a\nb\nc\n"u8.ToArray());
    }

    public void Dispose() => LoopDispatch.Begin(null);

    [Fact, Trait("Contract", "W1")]
    public async Task Drain_WhileMoreIsBufferedInATurn_LeavesTheSendToTheLastAnswer()
    {
        LoopDispatch.Begin(new LoopDispatch());
        await EchoAsync(3);
        Assert.Equal(["a\nb\nc\n"], Sends());
    }

    [Fact, Trait("Contract", "W1")]
    public async Task TurnEnd_AfterAWriteWithoutDrain_Sends()
    {
        var dispatch = new LoopDispatch();
        LoopDispatch.Begin(dispatch);
        _writer.Write(await _reader.ReadLineAsync(TestContext.Current.CancellationToken));
        Assert.Empty(Sends());
        dispatch.End();
        Assert.Equal(["a\n"], Sends());
    }

    [Fact, Trait("Contract", "W1")]
    public void TurnEnd_AWriteOfATurnThatGoesOnCameBefore_SendsBoth()
    {
        LoopDispatch.Begin(new LoopDispatch());
        _writer.Write("a\n");
        var other = new LoopDispatch();
        LoopDispatch.Begin(other);
        _writer.Write("b\n");

        other.End();

        Assert.Equal(["a\nb\n"], Sends());
    }

    [Fact, Trait("Contract", "W1")]
    public async Task TurnEnd_ByTheWatchdogWhileMoreIsLeft_LosesNothing()
    {
        const int rounds = 300_000;
        var dispatch = new LoopDispatch();
        int begun = 0;
        int ended = 0;
        var watchdog = Task.Run(() =>
        {
            for (int i = 1; i <= rounds; i++)
            {
                while (Volatile.Read(ref begun) < i)
                {
                }

                dispatch.End();
                Volatile.Write(ref ended, i);
            }
        }, TestContext.Current.CancellationToken);
        int lost = 0;
        for (int i = 1; i <= rounds; i++)
        {
            var second = new Work();
            dispatch.Add(new Work());
            Volatile.Write(ref begun, i);
            Thread.SpinWait(i % 64);
            dispatch.Add(second);
            dispatch.End();
            while (Volatile.Read(ref ended) < i)
            {
            }

            lost += 1 - second.Done;
        }

        await watchdog;
        Assert.Equal(0, lost);
    }

    [Fact, Trait("Contract", "W6"), Trait("Fault", "F05")]
    public async Task Drain_PeerTakesNothingWhileMoreIsBuffered_WaitsAboveHighWater()
    {
        LoopDispatch.Begin(new LoopDispatch());
        _channel.Paused = true;
        _writer.Write(new byte[65536]);
        await _writer.DrainAsync(TestContext.Current.CancellationToken);
        // At the mark; the next answer is above it, whatever else is there to be answered.
        _writer.Write(await _reader.ReadLineAsync(TestContext.Current.CancellationToken));
        Assert.True(_reader.HasBuffered);
        Assert.False(_writer.DrainAsync(TestContext.Current.CancellationToken).AsTask().IsCompleted);
    }

    [Fact]
    public async Task Drain_OutsideOfATurn_SendsAtOnce()
    {
        await EchoAsync(3);
        Assert.Equal(["a\n", "b\n", "c\n"], Sends());
    }

    private async Task EchoAsync(int lines)
    {
        for (int i = 0; i < lines; i++)
        {
            _writer.Write(await _reader.ReadLineAsync(TestContext.Current.CancellationToken));
            await _writer.DrainAsync(TestContext.Current.CancellationToken);
        }
    }

    private sealed class Work : IDispatchWork
    {
        private int _done;

        public int Done => _done;

        public void OnDispatchEnd() => Interlocked.Increment(ref _done);
    }

    private IEnumerable<string> Sends() => _channel.Sends.Select(Encoding.ASCII.GetString);
}

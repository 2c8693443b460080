using System.IO.Pipelines;
using System.Net;
using ByteStreams.Transport;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Contract.Tests;

/// <summary>When written bytes leave, send by send, by a clock that stands still.</summary>
public sealed class SendingTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly ScriptedChannel _channel = new();
    private readonly DeferredFlush _deferred;
    private readonly ChannelConnection _connection;
    private readonly ByteStreamReader _reader;
    private readonly ByteStreamWriter _writer;

    public SendingTests()
    {
        _deferred = new DeferredFlush(_time);
        _connection = new ChannelConnection(_channel, null, new IPEndPoint(IPAddress.Loopback, 1), new ByteStreamTransportOptions { LingerTimeout = TimeSpan.Zero });
        _reader = new ByteStreamReader(_connection.Transport.Input);
        _writer = new ByteStreamWriter(_connection.Transport.Output, _reader, _connection, null, _deferred);
    }

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _connection.Abort();
        _deferred.Dispose();
    }

    /// <summary>Millisecond by millisecond: a timer that is set again when it fires counts from the time that it is told.</summary>
    private void Pass(int milliseconds)
    {
        for (int i = 0; i < milliseconds; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }
    }

    [Fact, Trait("Contract", "W1")]
    public void Write_NothingElseHappens_LeavesWithin10Milliseconds()
    {
        _writer.Write("a"u8);
        Assert.Empty(_channel.Sends);
        Pass(10);
        Assert.Equal("a"u8.ToArray(), Assert.Single(_channel.Sends));
    }

    [Fact, Trait("Contract", "W1")]
    public void Write_ABurst_LeavesInOneSend()
    {
        for (int i = 0; i < 100; i++)
        {
            _writer.Write("abc"u8);
        }

        Pass(10);
        Assert.Equal(300, Assert.Single(_channel.Sends).Length);
    }

    [Fact, Trait("Contract", "W1")]
    public void Write_AgainAfterATick_LeavesWithin10MillisecondsAgain()
    {
        for (int i = 1; i <= 5; i++)
        {
            _writer.Write("a"u8);
            Pass(10);
            Assert.Equal(i, _channel.Sends.Count);
            _time.Advance(TimeSpan.FromSeconds(1));
        }
    }

    [Fact, Trait("Contract", "W1")]
    public async Task Write_SeveralBeforeADrain_LeaveInOneSend()
    {
        _writer.Write("a"u8);
        _writer.Write("b");
        _writer.WriteLines(["c"u8.ToArray(), "d"u8.ToArray()]);
        await _writer.DrainAsync(Test);
        Assert.Equal("abcd"u8.ToArray(), Assert.Single(_channel.Sends));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Single(_channel.Sends);
    }

    [Fact, Trait("Contract", "W1")]
    public async Task Write_SeveralBeforeAReadThatWaits_LeaveInOneSend()
    {
        _writer.Write("a"u8);
        _writer.Write("b"u8);
        Task<byte[]> read = _reader.ReadLineAsync(Test).AsTask();
        Assert.Equal("ab"u8.ToArray(), Assert.Single(_channel.Sends));
        _channel.Deliver("x\ny\n"u8.ToArray());
        Assert.Equal("x\n"u8.ToArray(), await read.WaitAsync(TimeSpan.FromSeconds(60), Test));

        // A read that need not wait sends nothing: the next answer leaves with this one.
        _writer.Write("c"u8);
        await _reader.ReadLineAsync(Test);
        Assert.Single(_channel.Sends);
    }

    [Fact, Trait("Contract", "W1")]
    public async Task Write_AnotherTaskWaitsInARead_LeavesWithoutTheClock()
    {
        Task<byte[]> read = _reader.ReadLineAsync(Test).AsTask();
        _writer.Write("a"u8);

        await _channel.FirstSend.WaitAsync(TimeSpan.FromSeconds(60), Test);

        Assert.Equal("a"u8.ToArray(), Assert.Single(_channel.Sends));
        Assert.False(read.IsCompleted);
    }

    [Fact, Trait("Contract", "W1"), Trait("Contract", "W7")]
    public async Task Write_SeveralBeforeAClose_LeaveInOneSend()
    {
        _writer.Write("a"u8);
        _writer.Write("b"u8);
        _writer.Close();
        Assert.Equal("ab"u8.ToArray(), Assert.Single(_channel.Sends));
        await _writer.WaitClosedAsync(Test).WaitAsync(TimeSpan.FromSeconds(60), Test);
        Assert.Equal(1, _channel.Shutdowns);
    }

    [Fact, Trait("Contract", "W1")]
    public void Write_64KiB_LeavesAtOnce()
    {
        _writer.Write(new byte[65536]);
        Assert.Equal(65536, _channel.Sent.Length);
    }

    [Fact]
    public void Write_AfterMemoryThatWasNotUsed_LeavesToo()
    {
        _ = _writer.GetMemory(100);
        _writer.Write("a"u8);
        Pass(10);
        Assert.Equal("a"u8.ToArray(), _channel.Sent);
        Assert.Throws<InvalidOperationException>(() => _writer.Advance(1));
    }

    [Fact]
    public void GetMemory_NotAdvancedYet_IsNotSentByTheClock()
    {
        _writer.Write("a"u8);
        Span<byte> span = _writer.GetSpan(1);
        Pass(20);
        Assert.Empty(_channel.Sends);
        span[0] = (byte)'b';
        _writer.Advance(1);
        Pass(20);
        Assert.Equal("ab"u8.ToArray(), _channel.Sent);
    }

    [Fact, Trait("Contract", "W8")]
    public async Task WaitClosed_OverABarePipe_EndsByCloseOrAbort()
    {
        foreach (Action<ByteStreamWriter> end in new Action<ByteStreamWriter>[] { writer => writer.Close(), writer => writer.Abort() })
        {
            var writer = new ByteStreamWriter(new Pipe().Writer);
            Task closed = writer.WaitClosedAsync(Test);
            Assert.False(closed.IsCompleted);
            end(writer);
            await closed.WaitAsync(TimeSpan.FromSeconds(60), Test);
            await writer.WaitClosedAsync(Test).WaitAsync(TimeSpan.FromSeconds(60), Test);
        }
    }
}

using System.Buffers;
using System.Runtime.InteropServices;
using ByteStreams.Transport;

namespace ByteStreams.Contract.Tests;

/// <summary>A medium in the hands of a test: what arrives, what is taken, and when.</summary>
internal sealed class ScriptedChannel : ByteChannel
{
    private readonly Queue<byte[]> _arrived = new();
    private TaskCompletionSource? _wait;
    private IReceiver? _receiver;
    private TaskCompletionSource<int>? _receive;
    private Memory<byte> _destination;
    private TaskCompletionSource<int>? _send;
    private ReadOnlySequence<byte> _source;
    private Exception? _failure;
    private bool _ended;
    private bool _mayHaveMore;

    /// <summary>What each send took.</summary>
    public List<byte[]> Sends { get; } = [];

    private readonly TaskCompletionSource _firstSend = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Done when the first send has been taken.</summary>
    public Task FirstSend => _firstSend.Task;

    public byte[] Sent => [.. Sends.SelectMany(send => send)];

    /// <summary>While true, a send waits for <see cref="Take"/>.</summary>
    public bool Paused { get; set; }

    public bool IsSendPending => _send is not null;

    /// <summary>The send that waits, as it was given.</summary>
    public ReadOnlySequence<byte> PendingSend => _source;

    public bool IsWaitPending => _wait is not null || _receiver is not null;

    public bool IsReceivePending => _receive is not null;

    /// <summary>The block that the last receive was given.</summary>
    public byte[]? Block { get; private set; }

    public int Shutdowns { get; private set; }

    /// <summary>Skips the wait, as a medium that cannot wait without a buffer does.</summary>
    public bool ReceivesWithoutWait { get; init; }

    /// <summary>As an event loop's channel: after a receive that was filled it says that there may be more, and there need not be.</summary>
    public bool Calls { get; init; }

    public override bool CallsReceiver => Calls;

    public override bool HasArrived => HasUnheard || _arrived.Count > 0 || _ended || _failure is not null;

    /// <summary>Whether the medium has something of which the receive in flight has not heard yet.</summary>
    public bool HasUnheard { get; set; }

    public void Deliver(params byte[] bytes)
    {
        _arrived.Enqueue(bytes);
        Wake();
    }

    public void End()
    {
        _ended = true;
        Wake();
    }

    public void Fail(Exception error)
    {
        _failure = error;
        Wake();
        (TaskCompletionSource<int>? send, _send) = (_send, null);
        send?.SetException(error);
    }

    /// <summary>Takes some bytes of the send that waits.</summary>
    public void Take(int count)
    {
        (TaskCompletionSource<int> send, _send) = (_send!, null);
        Sends.Add(_source.Slice(0, count).ToArray());
        send.SetResult(count);
    }

    public override bool WaitToReceive(IReceiver receiver)
    {
        if (_mayHaveMore || _arrived.Count > 0 || _ended || _failure is not null)
        {
            return true;
        }

        _receiver = receiver;
        return false;
    }

    public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        byte[] block = new byte[destination.Length];
        bool any = TryReceive(block, out received);
        block.AsSpan(0, received).CopyTo(destination);
        _mayHaveMore = received == destination.Length;
        loss = any ? null : _failure;
        return any || loss is not null;
    }

    public override ValueTask WaitToReceiveAsync()
    {
        if (ReceivesWithoutWait || _arrived.Count > 0 || _ended || _failure is not null)
        {
            return default;
        }

        _wait = new TaskCompletionSource();
        return new ValueTask(_wait.Task);
    }

    public override ValueTask<int> ReceiveAsync(Memory<byte> destination)
    {
        Assert.Null(_receive);
        Assert.False(destination.IsEmpty);
        Block = MemoryMarshal.TryGetArray<byte>(destination, out ArraySegment<byte> block) ? block.Array : null;
        if (TryReceive(destination, out int count))
        {
            return new ValueTask<int>(count);
        }

        if (_failure is not null)
        {
            return ValueTask.FromException<int>(_failure);
        }

        _destination = destination;
        _receive = new TaskCompletionSource<int>();
        return new ValueTask<int>(_receive.Task);
    }

    public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        Assert.Null(_send);
        Assert.False(source.IsEmpty);
        if (_failure is not null)
        {
            return ValueTask.FromException<int>(_failure);
        }

        if (Paused)
        {
            _source = source;
            _send = new TaskCompletionSource<int>();
            return new ValueTask<int>(_send.Task);
        }

        Sends.Add(source.ToArray());
        _firstSend.TrySetResult();
        return new ValueTask<int>((int)source.Length);
    }

    public override ValueTask ShutdownSendAsync()
    {
        Shutdowns++;
        return default;
    }

    public override void Reset() => Close();

    /// <summary>As a socket without a duplicate.</summary>
    public bool ClosesWithEnd { get; init; }

    public override bool CloseSendsEnd => ClosesWithEnd;

    public bool IsClosed { get; private set; }

    public override void Close()
    {
        IsClosed = true;
        Fail(new Microsoft.AspNetCore.Connections.ConnectionAbortedException("closed"));
    }

    private bool TryReceive(Memory<byte> destination, out int count)
    {
        if (_arrived.TryDequeue(out byte[]? bytes))
        {
            // As a socket: what does not fit stays for the next receive.
            count = Math.Min(bytes.Length, destination.Length);
            bytes.AsSpan(0, count).CopyTo(destination.Span);
            if (count < bytes.Length)
            {
                byte[][] rest = [bytes[count..], .. _arrived];
                _arrived.Clear();
                foreach (byte[] piece in rest)
                {
                    _arrived.Enqueue(piece);
                }
            }

            return true;
        }

        count = 0;
        return _ended;
    }

    private void Wake()
    {
        (TaskCompletionSource? wait, _wait) = (_wait, null);
        wait?.SetResult();
        (IReceiver? receiver, _receiver) = (_receiver, null);
        receiver?.OnReady();
        if (_receive is null)
        {
            return;
        }

        (TaskCompletionSource<int> receive, _receive) = (_receive, null);
        if (TryReceive(_destination, out int count))
        {
            receive.SetResult(count);
        }
        else
        {
            receive.SetException(_failure!);
        }
    }
}

using System.Buffers;
using System.Threading.Tasks.Sources;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport.Memory;

/// <summary>One side of a connection in memory. Each direction is a ring buffer that pauses its sender when it is full, as a socket does.</summary>
internal sealed class InMemoryChannel : ByteChannel
{
    /// <summary>The bytes that a direction holds before its sender waits: about a socket's smallest buffer.</summary>
    private const int Capacity = 65536;

    private readonly Direction _in;
    private readonly Direction _out;

    private InMemoryChannel(Direction input, Direction output)
    {
        _in = input;
        _out = output;
    }

    public override int Unacknowledged => _out.Count;

    public static (InMemoryChannel First, InMemoryChannel Second) CreatePair()
    {
        var there = new Direction();
        var back = new Direction();
        return (new InMemoryChannel(there, back), new InMemoryChannel(back, there));
    }

    public override ValueTask WaitToReceiveAsync() => _in.WaitToReceiveAsync();

    public override ValueTask<int> ReceiveAsync(Memory<byte> destination) => _in.ReceiveAsync(destination);

    public override bool HasArrived => _in.HasArrived;

    public override long Arrived => _in.Count;

    public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss) =>
        _in.TryReceive(destination, out received, out loss);

    public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source) => _out.SendAsync(source);

    public override ValueTask ShutdownSendAsync()
    {
        _out.End();
        return default;
    }

    public override void Reset()
    {
        var reset = new ConnectionResetException("The connection was reset by the peer.");
        _in.Break(reset);

        // As with TCP, the peer can read what has arrived before the reset.
        _out.Break(reset, keepBytes: true);
    }

    public override void Close()
    {
        // As a socket: unread bytes, or a later send of the peer, cause a reset; the peer can still read what was sent.
        bool unread = _in.Count > 0;
        _in.Break(new ConnectionResetException("The connection was reset by the peer."));
        _out.End();
        if (unread)
        {
            _out.Break(new ConnectionResetException("The connection was reset by the peer."), keepBytes: true);
        }
    }

    /// <summary>One direction of the connection.</summary>
    private sealed class Direction
    {
        private readonly Lock _gate = new();
        private readonly byte[] _ring = new byte[Capacity];
        private readonly Signal _readable = new();
        private readonly Signal _writable = new();
        private int _head;
        private int _count;
        private bool _ended;
        private bool _keepBytes;
        private Exception? _broken;

        public int Count
        {
            get
            {
                lock (_gate)
                {
                    return _count;
                }
            }
        }

        public ValueTask WaitToReceiveAsync()
        {
            lock (_gate)
            {
                return _count > 0 || _ended || _broken is not null ? default : _readable.WaitAsync();
            }
        }

        public bool HasArrived
        {
            get
            {
                lock (_gate)
                {
                    return _count > 0 || _ended || _broken is not null;
                }
            }
        }

        public ValueTask<int> ReceiveAsync(Memory<byte> destination)
        {
            lock (_gate)
            {
                return !TryReceive(destination.Span, out int received, out Exception? loss) ? ReceiveLaterAsync(destination)
                    : loss is not null ? ValueTask.FromException<int>(loss)
                    : new ValueTask<int>(received);
            }
        }

        public bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
        {
            lock (_gate)
            {
                (received, loss) = (0, null);
                if (_broken is not null && !(_keepBytes && _count > 0))
                {
                    loss = _broken;
                    return true;
                }

                if (_count == 0)
                {
                    return _ended;
                }

                received = Math.Min(_count, destination.Length);
                int first = Math.Min(received, Capacity - _head);
                _ring.AsSpan(_head, first).CopyTo(destination);
                _ring.AsSpan(0, received - first).CopyTo(destination[first..]);
                _head = (_head + received) % Capacity;
                _count -= received;
                _writable.Set();
                return true;
            }
        }

        public ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
        {
            lock (_gate)
            {
                if (_broken is not null)
                {
                    return ValueTask.FromException<int>(_broken);
                }

                if (_count == Capacity)
                {
                    return SendLaterAsync(source);
                }

                int taken = 0;
                foreach (ReadOnlyMemory<byte> segment in source)
                {
                    ReadOnlySpan<byte> bytes = segment.Span[..Math.Min(segment.Length, Capacity - _count)];
                    int tail = (_head + _count) % Capacity;
                    int first = Math.Min(bytes.Length, Capacity - tail);
                    bytes[..first].CopyTo(_ring.AsSpan(tail));
                    bytes[first..].CopyTo(_ring);
                    _count += bytes.Length;
                    taken += bytes.Length;
                }

                _readable.Set();
                return new ValueTask<int>(taken);
            }
        }

        public void End()
        {
            lock (_gate)
            {
                _ended = true;
                _readable.Set();
            }
        }

        public void Break(Exception cause, bool keepBytes = false)
        {
            lock (_gate)
            {
                _broken ??= cause;
                _keepBytes = keepBytes;
                _readable.Set();
                _writable.Set();
            }
        }

        private async ValueTask<int> ReceiveLaterAsync(Memory<byte> destination)
        {
            await WaitToReceiveAsync().ConfigureAwait(false);
            return await ReceiveAsync(destination).ConfigureAwait(false);
        }

        private async ValueTask<int> SendLaterAsync(ReadOnlySequence<byte> source)
        {
            await _writable.WaitAsync().ConfigureAwait(false);
            return await SendAsync(source).ConfigureAwait(false);
        }
    }

    /// <summary>Wakes its only waiter, never on the thread that sets it.</summary>
    private sealed class Signal : IValueTaskSource
    {
        private ManualResetValueTaskSourceCore<bool> _core = new() { RunContinuationsAsynchronously = true };
        private bool _waiting;

        // Both are called under the direction's lock.
        public ValueTask WaitAsync()
        {
            _core.Reset();
            _waiting = true;
            return new ValueTask(this, _core.Version);
        }

        public void Set()
        {
            if (_waiting)
            {
                _waiting = false;
                _core.SetResult(true);
            }
        }

        public void GetResult(short token) => _core.GetResult(token);

        public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);
    }
}

using System.Runtime.CompilerServices;

namespace ByteStreams.Timeouts;

/// <summary>
/// One timer for all connections of a clock: it checks each of them once a second, and stops while there is none. Thread-safe.
/// </summary>
internal sealed class Heartbeat
{
    /// <summary>The interval: timeouts are configured in seconds, and 10,000 checks take less than a millisecond.</summary>
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    /// <summary>The unit of <see cref="Now"/> is a hundredth of a second: 32 bits of them are 497 days, and the longest timeout is 365.</summary>
    public const int UnitsPerSecond = 100;

    private static readonly ConditionalWeakTable<TimeProvider, Heartbeat> ByClock = [];

    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private readonly long _began;
    private ConnectionTimeouts[] _connections = new ConnectionTimeouts[16];
    private int _count;
    private ITimer? _timer;

    private Heartbeat(TimeProvider time)
    {
        _time = time;
        _began = time.GetTimestamp();
    }

    public static Heartbeat For(TimeProvider time) => ByClock.GetValue(time, static clock => new Heartbeat(clock));

    /// <summary>The time since the heartbeat began, rounded down.</summary>
    public uint Now => At(_time.GetTimestamp());

    /// <summary>The number of connections that are checked.</summary>
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

    /// <summary>The time at a timestamp of the clock; zero for those before the heartbeat began.</summary>
    public uint At(long timestamp) =>
        (uint)(Math.Max(0, _time.GetElapsedTime(_began, timestamp).Ticks) / (TimeSpan.TicksPerSecond / UnitsPerSecond));

    public void Add(ConnectionTimeouts connection)
    {
        lock (_gate)
        {
            if (_count == _connections.Length)
            {
                Array.Resize(ref _connections, _count * 2);
            }

            connection.Index = _count;
            _connections[_count++] = connection;
            _timer ??= CreateTimer();
        }
    }

    /// <summary>Removes a connection. The next beat stops the timer if it was the last one.</summary>
    public void Remove(ConnectionTimeouts connection)
    {
        lock (_gate)
        {
            if (connection.Index < 0)
            {
                return;
            }

            ConnectionTimeouts last = _connections[--_count];
            _connections[connection.Index] = last;
            last.Index = connection.Index;
            connection.Index = -1;
            _connections[_count] = null!;
        }
    }

    /// <summary>Without the caller's execution context, which would live as long as the timer.</summary>
    private ITimer CreateTimer()
    {
        using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
        {
            return _time.CreateTimer(static beat => ((Heartbeat)beat!).Beat(), this, Period, Period);
        }
    }

    private void Beat()
    {
        List<(ConnectionTimeouts Connection, ConnectionCloseReason Reason)>? late = null;
        lock (_gate)
        {
            int kept = 0;
            for (int i = 0; i < _count; i++)
            {
                ConnectionTimeouts connection = _connections[i];
                if (connection.IsOver)
                {
                    connection.Index = -1;
                    continue;
                }

                connection.Index = kept;
                _connections[kept++] = connection;
                ConnectionCloseReason reason = connection.Check();
                if (reason != ConnectionCloseReason.None)
                {
                    (late ??= []).Add((connection, reason));
                }
            }

            Array.Clear(_connections, kept, _count - kept);
            _count = kept;
            if (_count == 0)
            {
                _timer?.Dispose();
                _timer = null;
                _connections = new ConnectionTimeouts[16];
            }
        }

        // Outside of the lock: a close resumes the tasks that wait for it.
        foreach ((ConnectionTimeouts connection, ConnectionCloseReason reason) in late ?? [])
        {
            connection.End(reason);
        }
    }
}

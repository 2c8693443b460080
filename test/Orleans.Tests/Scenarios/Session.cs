namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>A connection of a participant, with its sent and received messages.</summary>
/// <param name="number">The session's number.</param>
/// <param name="group">The session's group.</param>
/// <param name="host">The session's host.</param>
internal sealed class Session(int number, string group, HostProcess host)
{
    private readonly Lock _gate = new();
    private readonly List<long> _sentAt = [];
    private readonly Dictionary<int, List<(int Number, long SentAt, long ReceivedAt)>> _received = [];
    private long _joinedAt = long.MaxValue;
    private bool _isOpen;

    public int Number => number;

    public string Group => group;

    public HostProcess Host => host;

    /// <summary>The <see cref="System.Diagnostics.Stopwatch"/> timestamp of the join's acknowledgement; <see cref="long.MaxValue"/> before it.</summary>
    public long JoinedAt
    {
        get => Volatile.Read(ref _joinedAt);
        set => Volatile.Write(ref _joinedAt, value);
    }

    /// <summary>Whether the connection has joined and is not closed.</summary>
    public bool IsOpen
    {
        get => Volatile.Read(ref _isOpen);
        set => Volatile.Write(ref _isOpen, value);
    }

    /// <summary>Records a sent message and returns its number.</summary>
    public int NextNumber(long now)
    {
        lock (_gate)
        {
            _sentAt.Add(now);
            return _sentAt.Count - 1;
        }
    }

    public void Add(int sender, int sent, long sentAt, long receivedAt)
    {
        lock (_gate)
        {
            if (!_received.TryGetValue(sender, out List<(int, long, long)>? messages))
            {
                _received.Add(sender, messages = []);
            }

            messages.Add((sent, sentAt, receivedAt));
        }
    }

    /// <summary>Returns the send times, by message number.</summary>
    public long[] Sent()
    {
        lock (_gate)
        {
            return [.. _sentAt];
        }
    }

    /// <summary>Returns the messages received from another session, in the order of arrival.</summary>
    public (int Number, long SentAt, long ReceivedAt)[] ReceivedFrom(Session sender)
    {
        lock (_gate)
        {
            return _received.TryGetValue(sender.Number, out List<(int, long, long)>? messages) ? [.. messages] : [];
        }
    }
}

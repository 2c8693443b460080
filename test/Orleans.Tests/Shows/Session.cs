namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>One connection of a participant: what it has sent, and what it has received.</summary>
/// <param name="number">Its number among all sessions.</param>
/// <param name="group">The group that it has joined.</param>
/// <param name="host">The host that it is connected to.</param>
internal sealed class Session(int number, string group, HostProcess host)
{
    private readonly Lock _gate = new();
    private readonly List<long> _sentAt = [];
    private readonly Dictionary<int, List<(int Number, long SentAt, long ReceivedAt)>> _received = [];
    private long _joinedAt = long.MaxValue;

    public int Number => number;

    public string Group => group;

    public HostProcess Host => host;

    /// <summary>When its join was acknowledged, a timestamp of <see cref="System.Diagnostics.Stopwatch"/>; before that <see cref="long.MaxValue"/>.</summary>
    public long JoinedAt
    {
        get => Volatile.Read(ref _joinedAt);
        set => Volatile.Write(ref _joinedAt, value);
    }

    /// <summary>Returns the number of the next message that the session sends.</summary>
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

    /// <summary>The messages that it has sent, by their times.</summary>
    public long[] Sent()
    {
        lock (_gate)
        {
            return [.. _sentAt];
        }
    }

    /// <summary>What it has received of another session, in the order of arrival.</summary>
    public (int Number, long SentAt, long ReceivedAt)[] ReceivedFrom(Session sender)
    {
        lock (_gate)
        {
            return _received.TryGetValue(sender.Number, out List<(int, long, long)>? messages) ? [.. messages] : [];
        }
    }
}


namespace ByteStreams.Connections;

/// <summary>
/// The counters of one endpoint, and its open connections. They outlive the endpoint's servers while another server has the name, or
/// connections are open: counters do not go back. Thread-safe.
/// </summary>
internal sealed class EndpointCounters(string name)
{
    private static readonly int Reasons = Enum.GetValues<ConnectionCloseReason>().Length;

    private static readonly ConnectionCloseReason[] Refused = [.. Enum.GetValues<ConnectionCloseReason>().Where(CloseReasonText.IsRefusal)];

    private readonly Lock _gate = new();
    private readonly long[] _ended = new long[Reasons];
    private readonly ConnectionList _open = new(isOwners: false);
    private int _active;
    private long _accepted;
    private long _received;
    private long _sent;
    private int _handshakes;
    private volatile bool _isRetired;

    public string Name => name;

    public int Active => Volatile.Read(ref _active);

    public long Accepted => Interlocked.Read(ref _accepted);

    /// <summary>Whether no server has the name any more. Set by <see cref="ByteStreamMetrics"/>.</summary>
    public bool IsRetired
    {
        get => _isRetired;
        set => _isRetired = value;
    }

    /// <summary>TLS handshakes in progress.</summary>
    public int Handshakes => Volatile.Read(ref _handshakes);

    /// <summary>Counts a connection that begins.</summary>
    /// <param name="connection">The connection, with its transport's part.</param>
    /// <param name="numbers">The last number that a connection of any endpoint was given.</param>
    public void Enter(ConnectionState connection, ref long numbers)
    {
        lock (_gate)
        {
            // Within the lock, so that the list is in the order of the numbers.
            connection.Number = Interlocked.Increment(ref numbers);
            _open.Add(connection);
            _active++;
            _accepted++;
        }
    }

    /// <summary>Counts a connection that has closed.</summary>
    public void Leave(ConnectionState connection)
    {
        lock (_gate)
        {
            _received += connection.Link!.BytesReceived;
            _sent += connection.Link.BytesSent;
            _open.Remove(connection);
            _active--;
            _ended[(int)connection.Link.CloseReason]++;
        }
    }

    /// <summary>Counts a connection that was refused at accept.</summary>
    public void Refuse(ConnectionCloseReason reason)
    {
        lock (_gate)
        {
            _accepted++;
            _ended[(int)reason]++;
        }
    }

    /// <summary>The bytes of all connections so far, open ones included.</summary>
    public (long Received, long Sent) Bytes()
    {
        lock (_gate)
        {
            (long received, long sent) = (_received, _sent);
            for (ConnectionState? connection = _open.Newest; connection is not null; connection = _open.Next(connection))
            {
                received += connection.Link!.BytesReceived;
                sent += connection.Link.BytesSent;
            }

            return (received, sent);
        }
    }

    /// <summary>The number of refused connections by reason.</summary>
    public IReadOnlyList<(ConnectionCloseReason Reason, long Count)> Refusals()
    {
        lock (_gate)
        {
            return [.. Refused.Where(reason => _ended[(int)reason] > 0).Select(reason => (reason, _ended[(int)reason]))];
        }
    }

    /// <summary>Adds the newest connections that began before the one of a number.</summary>
    /// <param name="found">What they are added to.</param>
    /// <param name="most">How many at most.</param>
    /// <param name="before">The number.</param>
    public void AddNewest(List<ConnectionState> found, int most, long before)
    {
        lock (_gate)
        {
            for (ConnectionState? connection = _open.Newest; connection is not null && most > 0; connection = _open.Next(connection))
            {
                if (connection.Number < before)
                {
                    found.Add(connection);
                    most--;
                }
            }
        }
    }

    /// <summary>The open connection of an id; null where there is none.</summary>
    public ConnectionState? Find(string id)
    {
        lock (_gate)
        {
            for (ConnectionState? connection = _open.Newest; connection is not null; connection = _open.Next(connection))
            {
                if (connection.HasId(id))
                {
                    return connection;
                }
            }

            return null;
        }
    }

    /// <summary>The counters at this moment.</summary>
    public EndpointSnapshot Snapshot()
    {
        lock (_gate)
        {
            (long received, long sent) = Bytes();
            Dictionary<ConnectionCloseReason, long> ended = Enum.GetValues<ConnectionCloseReason>()
                .Where(reason => _ended[(int)reason] > 0).ToDictionary(reason => reason, reason => _ended[(int)reason]);
            return new EndpointSnapshot
            {
                Name = name,
                Active = _active,
                Handshakes = Handshakes,
                Accepted = _accepted,
                Refused = ended.Where(pair => CloseReasonText.IsRefusal(pair.Key)).Sum(pair => pair.Value),
                BytesReceived = received,
                BytesSent = sent,
                Ended = ended,
            };
        }
    }

    public void BeginHandshake() => Interlocked.Increment(ref _handshakes);

    public void EndHandshake() => Interlocked.Decrement(ref _handshakes);
}

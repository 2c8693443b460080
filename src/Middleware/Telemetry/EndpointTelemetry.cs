using ByteStreams.Transport.Text;

namespace ByteStreams.Telemetry;

/// <summary>
/// The counts of one endpoint, and its open connections. It outlives the endpoint's servers while another server of its name takes over, or
/// connections are open: counters do not go back.
/// </summary>
internal sealed class EndpointTelemetry(string name)
{
    private static readonly int Reasons = Enum.GetValues<ConnectionEndReason>().Length;

    private static readonly ConnectionEndReason[] Refused = [.. Enum.GetValues<ConnectionEndReason>().Where(EndReasonText.IsRefusal)];

    private readonly Lock _gate = new();
    private readonly long[] _ended = new long[Reasons];
    private ConnectionRecord? _first;
    private int _active;
    private long _accepted;
    private long _received;
    private long _sent;
    private int _handshakes;
    private volatile bool _isRetired;

    public string Name => name;

    public int Active => Volatile.Read(ref _active);

    public long Accepted => Interlocked.Read(ref _accepted);

    /// <summary>Whether no server has its name any more. Set by the metrics.</summary>
    public bool IsRetired
    {
        get => _isRetired;
        set => _isRetired = value;
    }

    /// <summary>TLS handshakes in progress.</summary>
    public int Handshakes => Volatile.Read(ref _handshakes);

    /// <param name="record">The connection.</param>
    /// <param name="numbers">The last number that a connection of any endpoint was given.</param>
    public void Enter(ConnectionRecord record, ref long numbers)
    {
        lock (_gate)
        {
            // Within the lock, so that the list is in the order of the numbers.
            record.Number = Interlocked.Increment(ref numbers);
            record.Next = _first;
            _first?.Previous = record;
            _first = record;
            _active++;
            _accepted++;
        }
    }

    public void Leave(ConnectionRecord record)
    {
        lock (_gate)
        {
            _received += record.Link.BytesReceived;
            _sent += record.Link.BytesSent;
            if (record.Previous is null)
            {
                _first = record.Next;
            }
            else
            {
                record.Previous.Next = record.Next;
            }

            record.Next?.Previous = record.Previous;
            _active--;
            _ended[(int)record.Link.EndReason]++;
        }
    }

    /// <summary>Counts a connection that was refused at accept.</summary>
    public void Refuse(ConnectionEndReason reason)
    {
        lock (_gate)
        {
            _accepted++;
            _ended[(int)reason]++;
        }
    }

    /// <summary>Bytes of all connections so far, those that are open included.</summary>
    public (long Received, long Sent) Bytes()
    {
        lock (_gate)
        {
            (long received, long sent) = (_received, _sent);
            for (ConnectionRecord? record = _first; record is not null; record = record.Next)
            {
                received += record.Link.BytesReceived;
                sent += record.Link.BytesSent;
            }

            return (received, sent);
        }
    }

    /// <summary>The connections that were refused, by reason.</summary>
    public IReadOnlyList<(ConnectionEndReason Reason, long Count)> Refusals()
    {
        lock (_gate)
        {
            return [.. Refused.Where(reason => _ended[(int)reason] > 0).Select(reason => (reason, _ended[(int)reason]))];
        }
    }

    /// <summary>Adds its newest connections that began before the one of a number, no more than <paramref name="most"/>.</summary>
    public void AddNewest(List<ConnectionRecord> found, int most, long before)
    {
        lock (_gate)
        {
            for (ConnectionRecord? record = _first; record is not null && most > 0; record = record.Next)
            {
                if (record.Number < before)
                {
                    found.Add(record);
                    most--;
                }
            }
        }
    }

    /// <summary>Its open connection of an id; null where there is none.</summary>
    public ConnectionRecord? Find(string id)
    {
        lock (_gate)
        {
            for (ConnectionRecord? record = _first; record is not null; record = record.Next)
            {
                if (record.IsCalled(id))
                {
                    return record;
                }
            }

            return null;
        }
    }

    /// <summary>Its counts as they are now.</summary>
    public EndpointSnapshot Snapshot()
    {
        lock (_gate)
        {
            (long received, long sent) = Bytes();
            Dictionary<ConnectionEndReason, long> ended = Enum.GetValues<ConnectionEndReason>()
                .Where(reason => _ended[(int)reason] > 0).ToDictionary(reason => reason, reason => _ended[(int)reason]);
            return new EndpointSnapshot
            {
                Name = name,
                Active = _active,
                Handshakes = Handshakes,
                Accepted = _accepted,
                Refused = ended.Where(pair => EndReasonText.IsRefusal(pair.Key)).Sum(pair => pair.Value),
                BytesReceived = received,
                BytesSent = sent,
                Ended = ended,
            };
        }
    }

    public void BeginHandshake() => Interlocked.Increment(ref _handshakes);

    public void EndHandshake() => Interlocked.Decrement(ref _handshakes);
}

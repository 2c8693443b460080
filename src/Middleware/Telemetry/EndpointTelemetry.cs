namespace ByteStreams.Telemetry;

/// <summary>The counts of one endpoint, and its open connections. It outlives the endpoint's servers: counters never go back.</summary>
internal sealed class EndpointTelemetry(string name)
{
    private readonly Lock _gate = new();
    private ConnectionRecord? _first;
    private int _active;
    private long _accepted;
    private long _received;
    private long _sent;
    private int _handshakes;

    public string Name => name;

    public int Active => Volatile.Read(ref _active);

    public long Accepted => Interlocked.Read(ref _accepted);

    /// <summary>TLS handshakes in progress.</summary>
    public int Handshakes => Volatile.Read(ref _handshakes);

    public void Enter(ConnectionRecord record)
    {
        lock (_gate)
        {
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

    public void BeginHandshake() => Interlocked.Increment(ref _handshakes);

    public void EndHandshake() => Interlocked.Decrement(ref _handshakes);
}

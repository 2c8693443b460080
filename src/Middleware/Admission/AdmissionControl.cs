using System.Threading.RateLimiting;
using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>The permits and rates of one endpoint. Kept over a change of the endpoint's other options; thread-safe.</summary>
internal sealed class AdmissionControl : IDisposable
{
    /// <summary>The part of the queue that one client may fill by default.</summary>
    private const int QueueShare = 4;

    private readonly AdmissionOptions _options;
    private readonly TimeProvider _time;
    private readonly PermitLimiter? _total;
    private readonly PermitLimiter? _permits;
    private readonly TokenBucketRateLimiter? _rate;
    private readonly ClientCounts? _clients;
    private readonly ClientRates? _clientRates;
    private readonly ClientCounts _queued;
    private readonly SharedPermits _totalOnly;
    private readonly SharedPermits _endpointOnly;
    private readonly SharedPermits _totalAndEndpoint;
    private int _waiting;

    public AdmissionControl(AdmissionOptions options, ConnectionTotal? total, TimeProvider time)
    {
        options.Validate();
        _totalOnly = new SharedPermits(this, hasTotal: true, hasEndpoint: false);
        _endpointOnly = new SharedPermits(this, hasTotal: false, hasEndpoint: true);
        _totalAndEndpoint = new SharedPermits(this, hasTotal: true, hasEndpoint: true);
        _options = options;
        _time = time;
        _queued = new ClientCounts(options.QueueLengthPerClient ?? Math.Max(1, options.QueueLength / QueueShare));
        _total = total?.Permits;
        if (options.MaxConnections is int most)
        {
            _permits = new PermitLimiter(most);
        }

        if (options.ConnectionsPerSecond is int rate)
        {
            _rate = ClientRates.Bucket(rate, options.Burst ?? rate);
        }

        if (options.MaxConnectionsPerClient is int each)
        {
            _clients = new ClientCounts(each);
        }

        if (options.ConnectionsPerSecondPerClient is int clientRate)
        {
            _clientRates = new ClientRates(clientRate, options.BurstPerClient ?? clientRate, options.MaxTrackedClients);
        }
    }

    /// <summary>Whether anything is limited per client.</summary>
    public bool KnowsClients => _clients is not null || _clientRates is not null;

    /// <summary>Whether anything is limited for all clients together.</summary>
    public bool HasPermits => _total is not null || _permits is not null || _rate is not null || _options.RateLimiter is not null;

    /// <summary>The text that a refused client is sent; null for none.</summary>
    public string? Banner => _options.Banner;

    /// <summary>
    /// Takes the permits of a connection that has not sent its PROXY header, and whose client is not known. If none is free and connections queue,
    /// it takes an entry of the queue, and waits in <see cref="EnterAsync"/> when its client is known.
    /// </summary>
    /// <param name="permits">Receives the permits; released by the caller, whether the connection is refused or not.</param>
    /// <returns>The reason of a refusal; none where it is admitted.</returns>
    public ConnectionCloseReason Reserve(AdmissionPermits permits)
    {
        ConnectionCloseReason missing = Take(permits);
        return missing != ConnectionCloseReason.None && _options.WhenFull == WhenFull.Queue && TryQueue(permits) ? ConnectionCloseReason.None : missing;
    }

    /// <summary>Takes a token of the endpoint's rate and the missing permits; waits for these where connections queue.</summary>
    /// <param name="context">The connection; its remote address is the client's.</param>
    /// <param name="permits">Receives the permits; released by the caller, whether the connection is refused or not.</param>
    /// <returns>The reason of a refusal; none where it is admitted.</returns>
    public ValueTask<ConnectionCloseReason> EnterAsync(ConnectionContext context, AdmissionPermits permits)
    {
        if (_rate is not null && !ClientRates.Acquire(_rate))
        {
            return new(ConnectionCloseReason.RefusedRate);
        }

        if (_options.RateLimiter is not null)
        {
            permits.Lease = _options.RateLimiter.AttemptAcquire(context);
            if (!permits.Lease.IsAcquired)
            {
                return new(ConnectionCloseReason.RefusedRate);
            }
        }

        ConnectionCloseReason missing = Take(permits);
        if (missing == ConnectionCloseReason.None)
        {
            LeaveQueue(permits);
            return new(missing);
        }

        return _options.WhenFull == WhenFull.Queue && TryQueue(permits) ? WaitAsync(context, permits, missing) : new(missing);
    }

    /// <summary>Takes a permit of the client.</summary>
    /// <param name="context">The connection; its remote address is the client's.</param>
    /// <param name="permit">One of the client's permits, to be released; null where nothing is counted.</param>
    /// <returns>The reason of a refusal; none where it is admitted.</returns>
    public ConnectionCloseReason Enter(ConnectionContext context, out ConnectionResource? permit)
    {
        permit = null;
        if (!KnowsClients
            || ClientNetwork.Of(context.RemoteEndPoint, _options.IPv4PrefixLength, _options.IPv6PrefixLength) is not ClientNetwork network)
        {
            return ConnectionCloseReason.None;
        }

        if (_clientRates is not null && !_clientRates.TryAcquire(network))
        {
            return ConnectionCloseReason.RefusedClientRate;
        }

        if (_clients is not null)
        {
            if (!_clients.TryEnter(network))
            {
                return ConnectionCloseReason.RefusedClient;
            }

            permit = new ClientPermit(_clients, network);
        }

        return ConnectionCloseReason.None;
    }

    public void Dispose()
    {
        _rate?.Dispose();
    }

    /// <summary>
    /// What a connection adds to be released: the permits, or where it holds nothing but connection permits one object that all such
    /// connections share, which saves 48 bytes of each idle connection.
    /// </summary>
    public ConnectionResource GetResource(ConnectionState connection, AdmissionPermits permits) =>
        connection.LastResource is not null || permits.Lease is not null || permits.IsQueued ? permits : (permits.HasTotal, permits.HasEndpoint) switch
        {
            (true, true) => _totalAndEndpoint,
            (true, false) => _totalOnly,
            (false, true) => _endpointOnly,
            _ => permits,
        };

    /// <summary>Takes back everything that a connection holds. A second call does nothing.</summary>
    public void Release(AdmissionPermits permits)
    {
        if (permits.HasTotal)
        {
            permits.HasTotal = false;
            _total!.Release();
        }

        if (permits.HasEndpoint)
        {
            permits.HasEndpoint = false;
            _permits!.Release();
        }

        permits.Lease?.Dispose();
        permits.Lease = null;
        LeaveQueue(permits);
    }

    private void LeaveQueue(AdmissionPermits permits)
    {
        if (permits.IsQueued)
        {
            permits.IsQueued = false;
            Interlocked.Decrement(ref _waiting);
        }
    }

    /// <summary>Takes the missing permits without waiting.</summary>
    /// <returns>The reason of a refusal; none where it is admitted.</returns>
    private ConnectionCloseReason Take(AdmissionPermits permits)
    {
        if (_permits is not null && !permits.HasEndpoint && !(permits.HasEndpoint = _permits.TryEnter()))
        {
            return ConnectionCloseReason.RefusedEndpoint;
        }

        return _total is not null && !permits.HasTotal && !(permits.HasTotal = _total.TryEnter())
            ? ConnectionCloseReason.RefusedTotal
            : ConnectionCloseReason.None;
    }

    /// <summary>Takes an entry of the queue, unless the connection has one.</summary>
    private bool TryQueue(AdmissionPermits permits)
    {
        if (permits.IsQueued)
        {
            return true;
        }

        permits.IsQueued = true;
        if (Interlocked.Increment(ref _waiting) > _options.QueueLength)
        {
            LeaveQueue(permits);
            return false;
        }

        return true;
    }

    /// <summary>Waits for the missing permits, with no more connections of the client than its share of the queue.</summary>
    private async ValueTask<ConnectionCloseReason> WaitAsync(ConnectionContext context, AdmissionPermits permits, ConnectionCloseReason missing)
    {
        ClientNetwork? client = ClientNetwork.Of(context.RemoteEndPoint, _options.IPv4PrefixLength, _options.IPv6PrefixLength);
        if (client is not null && !_queued.TryEnter(client.Value))
        {
            LeaveQueue(permits);
            return missing;
        }

        try
        {
            using var late = new CancellationTokenSource(_options.QueueTimeout, _time);
            if (_permits is not null && !permits.HasEndpoint)
            {
                await _permits.EnterAsync(late.Token).ConfigureAwait(false);
                permits.HasEndpoint = true;
            }

            if (_total is not null && !permits.HasTotal)
            {
                await _total.EnterAsync(late.Token).ConfigureAwait(false);
                permits.HasTotal = true;
            }

            return ConnectionCloseReason.None;
        }
        catch (OperationCanceledException)
        {
            return ConnectionCloseReason.RefusedQueueTimeout;
        }
        finally
        {
            LeaveQueue(permits);
            if (client is not null)
            {
                _queued.Leave(client.Value);
            }
        }
    }

    /// <summary>Connection permits, shared by all connections that hold the same. It is the earliest resource of each.</summary>
    private sealed class SharedPermits(AdmissionControl control, bool hasTotal, bool hasEndpoint) : ConnectionResource
    {
        public override void Release()
        {
            if (hasTotal)
            {
                control._total!.Release();
            }

            if (hasEndpoint)
            {
                control._permits!.Release();
            }
        }
    }

    private sealed class ClientPermit(ClientCounts counts, ClientNetwork client) : ConnectionResource
    {
        public override void Release() => counts.Leave(client);
    }
}

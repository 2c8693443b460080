using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>The places and rates of one endpoint. Kept over a change of the endpoint's other options; thread-safe.</summary>
internal sealed class AdmissionControl : IDisposable
{
    private readonly AdmissionOptions _options;
    private readonly TimeProvider _time;
    private readonly PlaceLimiter? _total;
    private readonly ConcurrencyLimiter? _places;
    private readonly TokenBucketRateLimiter? _rate;
    private readonly ClientCounts? _clients;
    private readonly ClientRates? _clientRates;
    private int _waiting;

    public AdmissionControl(AdmissionOptions options, ConnectionTotal? total, TimeProvider time)
    {
        options.Validate();
        _options = options;
        _time = time;
        _total = total?.Places;
        if (options.MaxConnections is int most)
        {
            _places = new ConcurrencyLimiter(new ConcurrencyLimiterOptions
            {
                PermitLimit = most,
                QueueLimit = options.QueueLength,
                QueueProcessingOrder = QueueProcessingOrder.OldestFirst,
            });
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

    /// <summary>Whether clients are told apart.</summary>
    public bool KnowsClients => _clients is not null || _clientRates is not null;

    /// <summary>Whether anything but clients is limited.</summary>
    public bool HasPlaces => _total is not null || _places is not null || _rate is not null || _options.RateLimiter is not null;

    /// <summary>Sent to who is refused.</summary>
    public string? Banner => _options.Banner;

    /// <summary>Looks for a place; waits for one where the options say so.</summary>
    /// <param name="context">The connection.</param>
    /// <param name="places">The leases, to be disposed when the connection ends.</param>
    /// <returns>None, or why it is refused.</returns>
    public async ValueTask<ConnectionEndReason> EnterAsync(ConnectionContext context, AdmissionPlaces places)
    {
        if (_rate is not null && !ClientRates.Acquire(_rate))
        {
            return ConnectionEndReason.RefusedRate;
        }

        if (_options.RateLimiter is not null)
        {
            places.Own = _options.RateLimiter.AttemptAcquire(context);
            if (!places.Own.IsAcquired)
            {
                return ConnectionEndReason.RefusedRate;
            }
        }

        bool queues = _options.WhenFull == WhenFull.Queue;
        places.Endpoint = _places?.AttemptAcquire();
        if (places.Endpoint is { IsAcquired: false })
        {
            if (!queues)
            {
                return ConnectionEndReason.RefusedEndpoint;
            }

            (places.Endpoint, ConnectionEndReason reason) = await WaitAsync(_places!, ConnectionEndReason.RefusedEndpoint).ConfigureAwait(false);
            if (reason != ConnectionEndReason.None)
            {
                return reason;
            }
        }

        places.Total = _total?.AttemptAcquire();
        if (places.Total is { IsAcquired: false })
        {
            if (!queues)
            {
                return ConnectionEndReason.RefusedTotal;
            }

            (places.Total, ConnectionEndReason reason) = await WaitAsync(_total!, ConnectionEndReason.RefusedTotal).ConfigureAwait(false);
            return reason;
        }

        return ConnectionEndReason.None;
    }

    /// <summary>Counts the client in.</summary>
    /// <param name="context">The connection; its remote address is the client's.</param>
    /// <param name="client">What to give to <see cref="Leave"/>; null where nothing is counted.</param>
    /// <returns>None, or why it is refused.</returns>
    public ConnectionEndReason Enter(ConnectionContext context, out ClientNetwork? client)
    {
        client = null;
        if (!KnowsClients
            || ClientNetwork.Of(context.RemoteEndPoint, _options.IPv4PrefixLength, _options.IPv6PrefixLength) is not ClientNetwork network)
        {
            return ConnectionEndReason.None;
        }

        if (_clientRates is not null && !_clientRates.TryAcquire(network))
        {
            return ConnectionEndReason.RefusedClientRate;
        }

        if (_clients is not null)
        {
            if (!_clients.TryEnter(network))
            {
                return ConnectionEndReason.RefusedClient;
            }

            client = network;
        }

        return ConnectionEndReason.None;
    }

    public void Leave(ClientNetwork client) => _clients!.Leave(client);

    public void Dispose()
    {
        _places?.Dispose();
        _rate?.Dispose();
    }

    private async ValueTask<(RateLimitLease? Lease, ConnectionEndReason Reason)> WaitAsync(RateLimiter places, ConnectionEndReason full)
    {
        if (Interlocked.Increment(ref _waiting) > _options.QueueLength)
        {
            Interlocked.Decrement(ref _waiting);
            return (null, full);
        }

        try
        {
            using var late = new CancellationTokenSource(_options.QueueTimeout, _time);
            RateLimitLease lease = await places.AcquireAsync(1, late.Token).ConfigureAwait(false);
            return lease.IsAcquired ? (lease, ConnectionEndReason.None) : (null, full);
        }
        catch (OperationCanceledException)
        {
            return (null, ConnectionEndReason.RefusedQueueTimeout);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }
}

using System.Threading.RateLimiting;
using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>The places and rates of one endpoint. Kept over a change of the endpoint's other options; thread-safe.</summary>
internal sealed class AdmissionControl : IDisposable
{
    private readonly AdmissionOptions _options;
    private readonly TimeProvider _time;
    private readonly PlaceLimiter? _total;
    private readonly PlaceLimiter? _places;
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
            _places = new PlaceLimiter(most);
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
    /// <param name="places">Notes what it was given, to be given back when the connection ends, refused or not.</param>
    /// <returns>None, or why it is refused.</returns>
    public ValueTask<ConnectionEndReason> EnterAsync(ConnectionContext context, AdmissionPlaces places)
    {
        if (_rate is not null && !ClientRates.Acquire(_rate))
        {
            return new(ConnectionEndReason.RefusedRate);
        }

        if (_options.RateLimiter is not null)
        {
            places.Own = _options.RateLimiter.AttemptAcquire(context);
            if (!places.Own.IsAcquired)
            {
                return new(ConnectionEndReason.RefusedRate);
            }
        }

        bool queues = _options.WhenFull == WhenFull.Queue;
        places.Endpoint = Take(_places);
        if (_places is not null && places.Endpoint is null)
        {
            return queues ? WaitAsync(places) : new(ConnectionEndReason.RefusedEndpoint);
        }

        places.Total = Take(_total);
        if (_total is not null && places.Total is null)
        {
            return queues ? WaitAsync(places) : new(ConnectionEndReason.RefusedTotal);
        }

        return new(ConnectionEndReason.None);
    }

    /// <summary>Counts the client in.</summary>
    /// <param name="context">The connection; its remote address is the client's.</param>
    /// <param name="place">Its place among the client's, to be given back; null where nothing is counted.</param>
    /// <returns>None, or why it is refused.</returns>
    public ConnectionEndReason Enter(ConnectionContext context, out ConnectionEnding? place)
    {
        place = null;
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

            place = new ClientPlace(_clients, network);
        }

        return ConnectionEndReason.None;
    }

    public void Dispose()
    {
        _rate?.Dispose();
    }

    /// <summary>A place without waiting; null where there is none, or no limit.</summary>
    private static PlaceLimiter? Take(PlaceLimiter? places) => places?.TryEnter() == true ? places : null;

    /// <summary>Waits for the places that are missing.</summary>
    private async ValueTask<ConnectionEndReason> WaitAsync(AdmissionPlaces places)
    {
        if (Interlocked.Increment(ref _waiting) > _options.QueueLength)
        {
            Interlocked.Decrement(ref _waiting);
            return places.Endpoint is null && _places is not null ? ConnectionEndReason.RefusedEndpoint : ConnectionEndReason.RefusedTotal;
        }

        try
        {
            using var late = new CancellationTokenSource(_options.QueueTimeout, _time);
            if (_places is not null && places.Endpoint is null)
            {
                await _places.EnterAsync(late.Token).ConfigureAwait(false);
                places.Endpoint = _places;
            }

            if (_total is not null)
            {
                await _total.EnterAsync(late.Token).ConfigureAwait(false);
                places.Total = _total;
            }

            return ConnectionEndReason.None;
        }
        catch (OperationCanceledException)
        {
            return ConnectionEndReason.RefusedQueueTimeout;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private sealed class ClientPlace(ClientCounts counts, ClientNetwork client) : ConnectionEnding
    {
        public override void OnEnded() => counts.Leave(client);
    }
}

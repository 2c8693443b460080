using System.Threading.RateLimiting;
using ByteStreams.Telemetry;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>The places and rates of one endpoint. Kept over a change of the endpoint's other options; thread-safe.</summary>
internal sealed class AdmissionControl : IDisposable
{
    /// <summary>The part of the queue that one client may fill by default.</summary>
    private const int QueueShare = 4;

    private readonly AdmissionOptions _options;
    private readonly TimeProvider _time;
    private readonly PermitLimiter? _total;
    private readonly PermitLimiter? _places;
    private readonly TokenBucketRateLimiter? _rate;
    private readonly ClientCounts? _clients;
    private readonly ClientRates? _clientRates;
    private readonly ClientCounts _queued;
    private int _waiting;

    public AdmissionControl(AdmissionOptions options, ConnectionTotal? total, TimeProvider time)
    {
        options.Validate();
        _options = options;
        _time = time;
        _queued = new ClientCounts(options.QueueLengthPerClient ?? Math.Max(1, options.QueueLength / QueueShare));
        _total = total?.Places;
        if (options.MaxConnections is int most)
        {
            _places = new PermitLimiter(most);
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

    /// <summary>
    /// Takes the permits of a connection whose client is not known yet: one that has still to send its PROXY header. Where none is free and
    /// connections queue, it takes one of the queue's entries, and waits in <see cref="EnterAsync"/> once its client is known.
    /// </summary>
    /// <param name="places">Notes what it was given, to be given back when the connection ends, refused or not.</param>
    /// <returns>None, or why it is refused.</returns>
    public ConnectionEndReason Reserve(AdmissionPlaces places)
    {
        ConnectionEndReason missing = Take(places);
        return missing != ConnectionEndReason.None && _options.WhenFull == WhenFull.Queue && TryQueue(places) ? ConnectionEndReason.None : missing;
    }

    /// <summary>Takes a token of the endpoint's rate and the permits that are missing; waits for them where the options say so.</summary>
    /// <param name="context">The connection; its remote address is the client's.</param>
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

        ConnectionEndReason missing = Take(places);
        if (missing == ConnectionEndReason.None)
        {
            places.LeaveQueue();
            return new(missing);
        }

        return _options.WhenFull == WhenFull.Queue && TryQueue(places) ? WaitAsync(context, places, missing) : new(missing);
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

    /// <summary>Gives back an entry of the queue.</summary>
    public void LeaveQueue() => Interlocked.Decrement(ref _waiting);

    /// <summary>Takes the permits that are missing, without waiting.</summary>
    /// <returns>None, or why it would be refused.</returns>
    private ConnectionEndReason Take(AdmissionPlaces places)
    {
        places.Endpoint ??= Take(_places);
        if (_places is not null && places.Endpoint is null)
        {
            return ConnectionEndReason.RefusedEndpoint;
        }

        places.Total ??= Take(_total);
        return _total is not null && places.Total is null ? ConnectionEndReason.RefusedTotal : ConnectionEndReason.None;
    }

    /// <summary>A permit without waiting; null where there is none, or no limit.</summary>
    private static PermitLimiter? Take(PermitLimiter? places) => places?.TryEnter() == true ? places : null;

    /// <summary>Takes an entry of the queue, unless the connection has one.</summary>
    private bool TryQueue(AdmissionPlaces places)
    {
        if (places.Queue is not null)
        {
            return true;
        }

        if (Interlocked.Increment(ref _waiting) > _options.QueueLength)
        {
            LeaveQueue();
            return false;
        }

        places.Queue = this;
        return true;
    }

    /// <summary>Waits for the permits that are missing, among no more connections of the client than its share of the queue.</summary>
    private async ValueTask<ConnectionEndReason> WaitAsync(ConnectionContext context, AdmissionPlaces places, ConnectionEndReason missing)
    {
        ClientNetwork? client = ClientNetwork.Of(context.RemoteEndPoint, _options.IPv4PrefixLength, _options.IPv6PrefixLength);
        if (client is not null && !_queued.TryEnter(client.Value))
        {
            places.LeaveQueue();
            return missing;
        }

        try
        {
            using var late = new CancellationTokenSource(_options.QueueTimeout, _time);
            if (_places is not null && places.Endpoint is null)
            {
                await _places.EnterAsync(late.Token).ConfigureAwait(false);
                places.Endpoint = _places;
            }

            if (_total is not null && places.Total is null)
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
            places.LeaveQueue();
            if (client is not null)
            {
                _queued.Leave(client.Value);
            }
        }
    }

    private sealed class ClientPlace(ClientCounts counts, ClientNetwork client) : ConnectionEnding
    {
        public override void OnEnded() => counts.Leave(client);
    }
}

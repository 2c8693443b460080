using System.Diagnostics.CodeAnalysis;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>
/// What goes on at the moment: the endpoints and their open connections, for status pages and operators; a service to ask for. It sees
/// the endpoints that have telemetry, which is all of them that do not switch it off.
/// </summary>
/// <remarks>
/// Nothing is kept for it that telemetry would not keep. Each answer is a snapshot, made when it is asked for: asking for endpoints
/// looks at every open connection (a few milliseconds for 10,000). All members may be called from any thread.
/// </remarks>
/// <example>
/// <code>
/// app.MapGet("/clients", (ByteStreamMonitor monitor) =&gt; monitor.Connections(limit: 20).Select(client =&gt; $"{client.Peer}: {client.Age}"));
/// </code>
/// </example>
public sealed class ByteStreamMonitor
{
    private readonly ByteStreamServers _servers;
    private readonly ByteStreamMetrics _metrics;

    internal ByteStreamMonitor(ByteStreamServers servers, ByteStreamMetrics metrics)
    {
        _servers = servers;
        _metrics = metrics;
    }

    /// <summary>
    /// Raised when a connection has closed, on the thread that served it. Handlers of the event must not throw, and delay the release of the
    /// connection's permits. Without a handler the event costs nothing.
    /// </summary>
    public event Action<ConnectionSnapshot>? ConnectionEnded
    {
        add => _metrics.Ended += value;
        remove => _metrics.Ended -= value;
    }

    /// <summary>
    /// Raised when an endpoint has got a server, or has no server and no connection any more. A handler must not block or throw.
    /// </summary>
    public event Action<EndpointChange>? EndpointsChanged
    {
        add => _metrics.EndpointsChanged += value;
        remove => _metrics.EndpointsChanged -= value;
    }

    /// <summary>The number of endpoints that have a server.</summary>
    public int EndpointCount => _metrics.ServerNames;

    /// <summary>The outcome of the last read of the configuration; null before the host has started.</summary>
    public ReloadOutcome? LastReload => _metrics.LastReload;

    /// <summary>Connections that are open.</summary>
    public int Active => _metrics.Endpoints.Sum(endpoint => endpoint.Active);

    /// <summary>Open connections, the newest first.</summary>
    /// <param name="limit">How many at most: 100 by default, at least 1.</param>
    /// <param name="before">Continues after the connection with this <see cref="ConnectionSnapshot.Number"/>, which may have closed.</param>
    /// <param name="endpoint">Only those of this endpoint, by its name in any case.</param>
    /// <returns>The connections. Fewer than the limit are the last ones.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The limit is zero or less.</exception>
    public IReadOnlyList<ConnectionSnapshot> Connections(int limit = 100, long before = long.MaxValue, string? endpoint = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(limit);
        var newest = new List<ConnectionState>();
        foreach (EndpointCounters counted in _metrics.Endpoints.Where(counted => endpoint is null || IsNamed(counted, endpoint)))
        {
            counted.AddNewest(newest, limit, before);
        }

        return [.. newest.OrderByDescending(connection => connection.Number).Take(limit).Select(ConnectionSnapshot.Create)];
    }

    /// <summary>One open connection.</summary>
    /// <param name="id">Its <see cref="ConnectionSnapshot.Id"/>.</param>
    /// <param name="connection">The connection.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGetConnection(string id, [NotNullWhen(true)] out ConnectionSnapshot? connection)
    {
        connection = Find(id) is ConnectionState found ? ConnectionSnapshot.Create(found) : null;
        return connection is not null;
    }

    /// <summary>
    /// Resets an open connection, on an operator's behalf: it ends by <see cref="ConnectionCloseReason.ClosedByOperator"/>, and what was
    /// not sent yet is lost. One that is ending already keeps its own reason, and ends at once.
    /// </summary>
    /// <param name="id">Its <see cref="ConnectionSnapshot.Id"/>.</param>
    /// <returns>Whether there was one.</returns>
    public bool Abort(string id)
    {
        if (Find(id) is not { Link: IByteStreamTransportFeature link })
        {
            return false;
        }

        link.Abort(ConnectionCloseReason.ClosedByOperator, new ConnectionAbortedException("An operator has ended the connection."));
        return true;
    }

    /// <summary>The endpoints: the application's own in their order, and then others that connections were counted for.</summary>
    public IReadOnlyList<EndpointSnapshot> Endpoints()
    {
        var counted = _metrics.Endpoints.ToDictionary(endpoint => endpoint.Name, StringComparer.OrdinalIgnoreCase);
        var snapshots = new List<EndpointSnapshot>();
        foreach (string name in _servers.Names)
        {
            if (_servers.TryGet(name, out ByteStreamServer? server))
            {
                counted.Remove(name, out EndpointCounters? counts);
                snapshots.Add(Describe(name, counts) with
                {
                    Url = _servers.GetDefinition(name)?.Url.ToString(),
                    Handler = _servers.GetDefinition(name)?.Options.HandlerName,
                    Addresses = server.EndPoints,
                    IsServing = server.IsServing,
                });
            }
        }

        snapshots.AddRange(counted.Values.OrderBy(counts => counts.Name, StringComparer.Ordinal).Select(counts => Describe(counts.Name, counts)));
        return snapshots;
    }

    private static bool IsNamed(EndpointCounters endpoint, string name) => string.Equals(endpoint.Name, name, StringComparison.OrdinalIgnoreCase);

    private EndpointSnapshot Describe(string name, EndpointCounters? counts) =>
        (counts?.Snapshot() ?? new EndpointSnapshot { Name = name }) with
        {
            Certificates = [.. _metrics.CertificatesOf(name)],
            ClientAuthoritiesError = _metrics.ClientAuthoritiesErrorOf(name),
            Upstreams = [.. _metrics.UpstreamsOf(name)],
        };

    private ConnectionState? Find(string id)
    {
        ArgumentNullException.ThrowIfNull(id);
        return _metrics.Endpoints.Select(endpoint => endpoint.Find(id)).FirstOrDefault(found => found is not null);
    }
}

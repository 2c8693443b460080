using System.Net;
using ByteStreams.Connections;

namespace ByteStreams;

/// <summary>A connection as it was at one moment. Names are as the peer sent them: whoever shows them has to escape them.</summary>
public sealed record ConnectionSnapshot
{
    /// <summary>Its place in the order in which connections began, of all endpoints together: what a list goes on behind.</summary>
    public required long Number { get; init; }

    /// <summary>The id under which it is in logs and traces.</summary>
    public required string Id { get; init; }

    /// <summary>The endpoint's name.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The name of what serves it; null where nobody gave it one.</summary>
    public string? Handler { get; init; }

    /// <summary>The client's address, also behind a proxy.</summary>
    public EndPoint? Peer { get; init; }

    /// <summary>The proxy's address, where a PROXY header came; else null.</summary>
    public EndPoint? Proxy { get; init; }

    /// <summary>Such as <c>1.3</c>; null without TLS, and before its handshake has ended.</summary>
    public string? TlsVersion { get; init; }

    /// <summary>The name that the client asked for: of this server (SNI), else of the proxy, which passed it on (PP2_TYPE_AUTHORITY).</summary>
    public string? ServerName { get; init; }

    /// <summary>The first URI of the client's certificate, else its common name.</summary>
    public string? ClientName { get; init; }

    /// <summary>Where a relay has passed it on to.</summary>
    public string? Upstream { get; init; }

    /// <summary>Bytes received, as they are on the medium: with TLS, encrypted.</summary>
    public required long BytesReceived { get; init; }

    /// <summary>Bytes that the medium has taken.</summary>
    public required long BytesSent { get; init; }

    /// <summary>How long ago it began; for one that has ended, how long it lasted.</summary>
    public required TimeSpan Age { get; init; }

    /// <summary>For how long nothing has come or gone, to a second; null where timeouts are off, which look at it.</summary>
    public TimeSpan? Idle { get; init; }

    /// <summary>Why it has ended; <see cref="ConnectionEndReason.None"/> while it is open.</summary>
    public required ConnectionEndReason EndReason { get; init; }

    /// <summary>A connection as it is now. Callable from any thread.</summary>
    internal static ConnectionSnapshot Create(ConnectionState connection)
    {
        ConnectionReporter reporter = connection.Reporter!;
        IByteStreamTransportFeature link = connection.Link!;
        ConnectionMetadata? metadata = connection.Metadata;
        return new ConnectionSnapshot
        {
            Number = connection.Number,
            Id = connection.Connection.ConnectionId,
            Endpoint = reporter.Counters.Name,
            Handler = reporter.HandlerName,
            Peer = metadata?.Proxy?.Source ?? connection.Peer,
            Proxy = metadata?.Proxy?.ProxyEndPoint,
            TlsVersion = metadata?.Tls?.Version,
            ServerName = metadata?.Tls?.ServerName ?? metadata?.Proxy?.Authority,
            ClientName = metadata?.Tls?.ClientName,
            Upstream = metadata?.Upstream,
            BytesReceived = link.BytesReceived,
            BytesSent = link.BytesSent,
            Age = reporter.Time.GetElapsedTime(connection.Began),
            Idle = connection.Timeouts?.Idle,
            EndReason = link.EndReason,
        };
    }
}

using System.Net;
using ByteStreams.Connections;

namespace ByteStreams;

/// <summary>A connection at one moment. Names are as the peer sent them: escape them before they are shown.</summary>
public sealed record ConnectionSnapshot
{
    /// <summary>The position in the order in which the connections of all endpoints began: a list continues after it.</summary>
    public required long Number { get; init; }

    /// <summary>The id in logs and traces.</summary>
    public required string Id { get; init; }

    /// <summary>The endpoint's name.</summary>
    public required string Endpoint { get; init; }

    /// <summary>The handler's name; null where it has none.</summary>
    public string? Handler { get; init; }

    /// <summary>The client's address, also through a proxy.</summary>
    public EndPoint? Peer { get; init; }

    /// <summary>The proxy's address; null without a PROXY header.</summary>
    public EndPoint? Proxy { get; init; }

    /// <summary>Such as <c>1.3</c>; null without TLS, and before its handshake has ended.</summary>
    public string? TlsVersion { get; init; }

    /// <summary>The server name that the client asked this server for (SNI), else the proxy, which passed it on (PP2_TYPE_AUTHORITY).</summary>
    public string? ServerName { get; init; }

    /// <summary>The first URI of the client's certificate, else its common name.</summary>
    public string? ClientName { get; init; }

    /// <summary>The name of the relay's upstream; null without one.</summary>
    public string? Upstream { get; init; }

    /// <summary>Bytes received by the transport: with TLS, encrypted ones.</summary>
    public required long BytesReceived { get; init; }

    /// <summary>Bytes sent by the transport.</summary>
    public required long BytesSent { get; init; }

    /// <summary>The time since the accept; for a closed connection, its duration.</summary>
    public required TimeSpan Age { get; init; }

    /// <summary>The time since the last byte was received or sent, to a second; null without timeouts, which measure it.</summary>
    public TimeSpan? Idle { get; init; }

    /// <summary>The close reason; <see cref="ConnectionCloseReason.None"/> while it is open.</summary>
    public required ConnectionCloseReason CloseReason { get; init; }

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
            CloseReason = link.CloseReason,
        };
    }
}

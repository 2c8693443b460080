using System.Net;
using ByteStreams.Timeouts;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Telemetry;

/// <summary>A connection that is open, as telemetry knows it; linked with its endpoint's others.</summary>
internal sealed class ConnectionRecord(ConnectionContext connection, IByteStreamTransportFeature link, ConnectionOrigin origin)
{
    // Null where the socket tells it when it is asked: most connections never are, and it is 72 bytes of each idle one.
    private readonly EndPoint? _peer = connection is ChannelConnection { HasRemoteEndPoint: false } ? null : connection.RemoteEndPoint;
    private ConnectionEnding? _endings;
    private ConnectionFacts? _facts;

    public ConnectionContext Connection => connection;

    public IByteStreamTransportFeature Link => link;

    public ConnectionOrigin Origin => origin;

    public EndpointTelemetry Endpoint => origin.Endpoint;

    /// <summary>Its place in the order in which connections began, of all endpoints together.</summary>
    public long Number { get; set; }

    /// <summary>The clock's timestamp at the begin.</summary>
    public long Began { get; } = origin.Time.GetTimestamp();

    /// <summary>Who connected, before a PROXY header said for whom.</summary>
    public EndPoint? Peer => _peer ?? (connection as ChannelConnection)?.SocketPeer;

    /// <summary>What the heartbeat sees of it; null where nothing is timed.</summary>
    public ConnectionTimeouts? Timeouts { get; set; }

    public ConnectionRecord? Previous { get; set; }

    public ConnectionRecord? Next { get; set; }

    /// <summary>What only some connections have; null where this one has none of it.</summary>
    public ConnectionFacts? Facts => _facts;

    /// <summary>The same, to set something in it. For whoever serves the connection alone.</summary>
    public ConnectionFacts MoreFacts => _facts ??= new ConnectionFacts();

    /// <summary>Has something called when the connection has ended, the last one first.</summary>
    public void Add(ConnectionEnding ending)
    {
        ending.Earlier = _endings;
        _endings = ending;
    }

    public void RunEndings()
    {
        for (; _endings is ConnectionEnding ending; _endings = ending.Earlier)
        {
            ending.OnEnded();
        }
    }

    /// <summary>Whether it is called so. One that was never called anything is not given a name to find out.</summary>
    public bool IsCalled(string id) =>
        connection is not ChannelConnection { HasConnectionId: false } && string.Equals(connection.ConnectionId, id, StringComparison.Ordinal);

    /// <summary>How it is now. Any thread may ask.</summary>
    public ConnectionSnapshot Snapshot()
    {
        ConnectionFacts? facts = _facts;
        return new ConnectionSnapshot
        {
            Number = Number,
            Id = connection.ConnectionId,
            Endpoint = Endpoint.Name,
            Handler = origin.Handler,
            Peer = facts?.Proxy?.Header.Source ?? Peer,
            Proxy = facts?.Proxy?.ProxyEndPoint,
            TlsVersion = facts?.Tls?.Version,
            ServerName = facts?.Tls?.ServerName ?? facts?.Proxy?.Header.Authority,
            ClientName = facts?.Tls?.ClientName,
            Upstream = facts?.Upstream,
            BytesReceived = link.BytesReceived,
            BytesSent = link.BytesSent,
            Age = origin.Time.GetElapsedTime(Began),
            Idle = Timeouts?.Idle,
            EndReason = link.EndReason,
        };
    }
}

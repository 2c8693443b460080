using System.Net;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Telemetry;

/// <summary>A connection that is open, as telemetry knows it; linked with its endpoint's others.</summary>
internal sealed class ConnectionRecord(ConnectionContext connection, IByteStreamTransportFeature link, long began)
{
    public ConnectionContext Connection => connection;

    public IByteStreamTransportFeature Link => link;

    /// <summary>The clock's timestamp at the begin.</summary>
    public long Began => began;

    /// <summary>Who connected, before a PROXY header said for whom.</summary>
    public EndPoint? Peer { get; } = connection.RemoteEndPoint;

    public ConnectionRecord? Previous { get; set; }

    public ConnectionRecord? Next { get; set; }
}

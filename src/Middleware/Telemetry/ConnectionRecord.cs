using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Telemetry;

/// <summary>A connection that is open, as telemetry knows it; linked with its endpoint's others.</summary>
internal sealed class ConnectionRecord(ConnectionContext connection, IByteStreamTransportFeature link, EndpointTelemetry endpoint, long began)
{
    private ConnectionEnding? _endings;

    public ConnectionContext Connection => connection;

    public IByteStreamTransportFeature Link => link;

    public EndpointTelemetry Endpoint => endpoint;

    /// <summary>The clock's timestamp at the begin.</summary>
    public long Began => began;

    /// <summary>Who connected, before a PROXY header said for whom.</summary>
    public EndPoint? Peer { get; } = connection.RemoteEndPoint;

    /// <summary>Where a relay has passed it on to; null for what is not relayed.</summary>
    public string? Upstream { get; set; }

    public Activity? Activity { get; set; }

    public ConnectionRecord? Previous { get; set; }

    public ConnectionRecord? Next { get; set; }

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
}

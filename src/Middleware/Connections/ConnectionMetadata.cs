using System.Diagnostics;
using System.Net;

namespace ByteStreams.Connections;

/// <summary>
/// What only some connections have, as plain values: other connections pay for one reference. Set by the thread that serves the connection, and
/// read from others.
/// </summary>
internal sealed class ConnectionMetadata
{
    /// <summary>Another transport: its part of the connection; null where the connection itself is that.</summary>
    public IByteStreamTransportFeature? Link { get; set; }

    /// <summary>Telemetry: the connection's activity; null where none is listened to.</summary>
    public Activity? Activity { get; set; }

    /// <summary>Relay: the name of the upstream.</summary>
    public string? Upstream { get; set; }

    /// <summary>PROXY protocol: what the header named; null without a header.</summary>
    public ProxyMetadata? Proxy { get; set; }

    /// <summary>TLS: what the handshake negotiated; null without TLS, and before the end of its handshake.</summary>
    public TlsMetadata? Tls { get; set; }
}

/// <summary>What a PROXY header named.</summary>
/// <param name="Source">The client's address; null where the header has none.</param>
/// <param name="ProxyEndPoint">The proxy's own address.</param>
/// <param name="Authority">The server name that the client asked the proxy for (PP2_TYPE_AUTHORITY), as it was sent; null without it.</param>
internal sealed record ProxyMetadata(EndPoint? Source, EndPoint? ProxyEndPoint, string? Authority);

/// <summary>What a TLS handshake negotiated. It stays when TLS has ended, for the summary.</summary>
/// <param name="Version">The version, such as <c>1.3</c>.</param>
/// <param name="ServerName">The server name that the client asked for, as it was sent.</param>
/// <param name="ClientName">The first URI of the client's certificate, else its common name, unescaped.</param>
internal sealed record TlsMetadata(string Version, string? ServerName, string? ClientName);

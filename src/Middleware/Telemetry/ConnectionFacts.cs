using System.Diagnostics;
using ByteStreams.Tls;

namespace ByteStreams.Telemetry;

/// <summary>
/// What is known of some connections only, in a part of its own: those of which there is nothing to tell pay for one reference. Set
/// by whoever serves the connection, and read from other threads, which its features are not made for.
/// </summary>
internal sealed class ConnectionFacts
{
    public Activity? Activity { get; set; }

    /// <summary>Where a relay has passed it on to.</summary>
    public string? Upstream { get; set; }

    /// <summary>What its PROXY header said.</summary>
    public IProxyProtocolFeature? Proxy { get; set; }

    /// <summary>What its TLS handshake has agreed on.</summary>
    public TlsFacts? Tls { get; set; }
}

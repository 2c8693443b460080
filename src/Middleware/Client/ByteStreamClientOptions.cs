using System.Net.Security;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams;

/// <summary>How a connection is opened and treated.</summary>
public class ByteStreamClientOptions : ByteStreamConnectOptions
{
    /// <summary>TLS. Its <c>TargetHost</c> is set to the host where it is empty. Null, the default, is plain.</summary>
    public SslClientAuthenticationOptions? Tls { get; set; }

    /// <summary>
    /// The name that the server's certificate must have, where it is not the host's. Needs <see cref="Tls"/>. Source: asyncio's
    /// <c>server_hostname</c>.
    /// </summary>
    public string? ServerHostName { get; set; }

    /// <summary>How long a TLS handshake may take, <c>StartTlsAsync</c>'s included: 60 s by default, greater than zero.</summary>
    public TimeSpan TlsHandshakeTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// How long a TLS close may take to send what was written and close_notify, before it is an abort: 30 s by default. Also after
    /// <c>StartTlsAsync</c>.
    /// </summary>
    public TimeSpan TlsShutdownTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether an end of TLS without close_notify is a truncation (<see cref="TlsTruncatedException"/>): true by default. False takes
    /// it for the end: somebody in between can then cut what the peer sends, unnoticed. Also after <c>StartTlsAsync</c>.
    /// </summary>
    public bool TlsRequireCloseNotify { get; set; } = true;

    /// <summary>
    /// A PROXY header, sent in one write before everything else, TLS included: it tells the peer for whom the connection is made. None by
    /// default. Source: HAProxy's proxy-protocol.txt, 2.
    /// </summary>
    /// <example>
    /// <code>
    /// // Within a handler: the backend hears who the client is, also where a header told it here.
    /// var options = new ByteStreamClientOptions { ProxyHeader = ProxyHeader.For(writer.Transport!) };
    /// </code>
    /// </example>
    public ProxyHeader? ProxyHeader { get; set; }

    /// <summary>Where the connection logs. Nowhere by default.</summary>
    public ILoggerFactory LoggerFactory { get; set; } = NullLoggerFactory.Instance;

    /// <summary>A copy that later changes do not reach.</summary>
    internal ByteStreamClientOptions Snapshot()
    {
        Validate();
        return (ByteStreamClientOptions)MemberwiseClone();
    }

    internal override void Validate()
    {
        base.Validate();
        if (ServerHostName is not null && Tls is null)
        {
            throw new ArgumentException("ServerHostName needs Tls: without TLS no name is checked.");
        }

        if (TlsHandshakeTimeout <= TimeSpan.Zero || TlsShutdownTimeout <= TimeSpan.Zero)
        {
            throw new ArgumentException("TlsHandshakeTimeout and TlsShutdownTimeout are greater than zero.");
        }
    }
}

using System.Net.Security;
using ByteStreams.Tls;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams;

/// <summary>The options of an outbound connection.</summary>
public partial class ByteStreamClientOptions : ByteStreamConnectOptions, ITlsSettingsSource
{
    internal static new OptionRanges<ByteStreamClientOptions> Ranges { get; } = new(
        new DurationOption<ByteStreamClientOptions>(nameof(TlsHandshakeTimeout), DurationRange.Positive, o => o.TlsHandshakeTimeout),
        new DurationOption<ByteStreamClientOptions>(nameof(TlsShutdownTimeout), DurationRange.Positive, o => o.TlsShutdownTimeout));

    /// <summary>The TLS options; an empty <c>TargetHost</c> is set to the host. Null, the default, opens a plain connection.</summary>
    public SslClientAuthenticationOptions? Tls { get; set; }

    /// <summary>
    /// The name that the server's certificate must have, if it is not the host. Requires <see cref="Tls"/>. Source: asyncio's
    /// <c>server_hostname</c>.
    /// </summary>
    public string? ServerHostName { get; set; }

    /// <summary>The timeout of a TLS handshake, also of <c>StartTlsAsync</c>: 60 s by default, greater than zero.</summary>
    public TimeSpan TlsHandshakeTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// The timeout of a TLS close, which sends the buffered bytes and close_notify, also after <c>StartTlsAsync</c>. The connection is aborted
    /// after it: 30 s by default, greater than zero.
    /// </summary>
    public TimeSpan TlsShutdownTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Whether a peer that closes TLS without close_notify is a truncation (<see cref="TlsTruncatedException"/>), also after <c>StartTlsAsync</c>:
    /// true by default. False treats it as EOF; an attacker on the path can then truncate what the peer sends.
    /// </summary>
    public bool TlsRequireCloseNotify { get; set; } = true;

    /// <summary>The implementation of TLS, also of <c>StartTlsAsync</c>: <see cref="TlsEngine.Auto"/> by default.</summary>
    public TlsEngine TlsEngine { get; set; }

    /// <summary>
    /// A PROXY header with the address of the client for whom the connection is opened. It is sent in one write before any other byte, TLS
    /// included. None by default. Source: HAProxy's proxy-protocol.txt, 2.
    /// </summary>
    /// <example>
    /// <code>
    /// // Within a handler: sends the client's address to the backend; a received header is forwarded.
    /// var options = new ByteStreamClientOptions { ProxyHeader = ProxyHeader.For(writer.Transport!) };
    /// </code>
    /// </example>
    public ProxyHeader? ProxyHeader { get; set; }

    /// <summary>The logger factory of the connection. No logging by default.</summary>
    public ILoggerFactory LoggerFactory { get; set; } = NullLoggerFactory.Instance;

    TlsSettings ITlsSettingsSource.TlsSettings => new(TlsHandshakeTimeout, TlsShutdownTimeout, TimeProvider, TlsRequireCloseNotify, Engine: TlsEngine);

    /// <summary>Validates the options and returns a copy of them.</summary>
    internal ByteStreamClientOptions Snapshot()
    {
        Validate();
        return (ByteStreamClientOptions)MemberwiseClone();
    }

    /// <summary>Returns a copy of the options with other TLS options.</summary>
    internal ByteStreamClientOptions WithTls(SslClientAuthenticationOptions tls)
    {
        var copy = (ByteStreamClientOptions)MemberwiseClone();
        copy.Tls = tls;
        return copy;
    }

    internal override void Validate()
    {
        base.Validate();
        ValidationErrors.ThrowIfAny(Ranges.Validate(this));
        if (ServerHostName is not null && Tls is null)
        {
            throw new ArgumentException("ServerHostName requires Tls: no name is checked without TLS.");
        }

    }
}

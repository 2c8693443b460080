using System.Buffers;
using System.Net;
using System.Text;

namespace ByteStreams;

/// <summary>
/// A PROXY protocol header, version 1 or 2: the addresses of a client's connection as the proxy accepted it, and TLVs. Source: HAProxy's
/// proxy-protocol.txt.
/// </summary>
/// <example>
/// <code>
/// // Sends the client's address to a backend before any other byte:
/// var options = new ByteStreamClientOptions { ProxyHeader = ProxyHeader.For(writer.Transport!) };
/// </code>
/// </example>
public sealed class ProxyHeader
{
    private readonly IReadOnlyList<ProxyTlv> _tlvs = [];

    /// <summary>The header for connections of the proxy itself, such as health checks (version 2, command LOCAL).</summary>
    public static ProxyHeader Local { get; } = new() { Version = 2, IsLocal = true };

    /// <summary>The version: 1 (a text line) or 2 (binary). 2 by default.</summary>
    public int Version { get; init; } = 2;

    /// <summary>Whether the connection is the proxy's own, with no client (command LOCAL of version 2).</summary>
    public bool IsLocal { get; init; }

    /// <summary>The client's address; null if the header has none (LOCAL, UNKNOWN, UNSPEC).</summary>
    public EndPoint? Source { get; init; }

    /// <summary>The address that the client connected to; null if the header has none.</summary>
    public EndPoint? Destination { get; init; }

    /// <summary>The TLVs of version 2 in their order, unknown types included; without CRC32C and NOOP.</summary>
    public IReadOnlyList<ProxyTlv> Tlvs
    {
        get => _tlvs;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            _tlvs = value;
        }
    }

    /// <summary>The application protocol that the client negotiated with the proxy (PP2_TYPE_ALPN).</summary>
    public string? ApplicationProtocol => Text(ProxyTlv.ApplicationProtocol, Encoding.Latin1);

    /// <summary>The host name that the client requested, usually its SNI (PP2_TYPE_AUTHORITY).</summary>
    public string? Authority => Text(ProxyTlv.Authority, Encoding.UTF8);

    /// <summary>The proxy's ID of the connection, at most 128 bytes (PP2_TYPE_UNIQUE_ID); empty if the header has none.</summary>
    public ReadOnlyMemory<byte> UniqueId => Find(ProxyTlv.UniqueId)?.Value ?? default;

    /// <summary>The network namespace of the client's connection (PP2_TYPE_NETNS).</summary>
    public string? NetworkNamespace => Text(ProxyTlv.NetworkNamespace, Encoding.ASCII);

    /// <summary>The ID of the AWS VPC endpoint that the client used (PP2_TYPE_AWS, subtype 1).</summary>
    public string? AwsVpcEndpointId => Find(ProxyTlv.Aws)?.Value is { Length: > 1 } value && value.Span[0] == 1
        ? Encoding.ASCII.GetString(value.Span[1..])
        : null;

    /// <summary>The client's TLS connection with the proxy (PP2_TYPE_SSL); null if the header has none.</summary>
    public ProxySsl? Ssl => Find(ProxyTlv.Ssl) is ProxyTlv tlv ? new ProxySsl(tlv.Value) : null;

    /// <summary>Creates the header that describes an accepted connection to a backend. A received header's addresses and TLVs are forwarded.</summary>
    /// <param name="connection">The accepted connection.</param>
    /// <param name="version">1 or 2.</param>
    /// <exception cref="ArgumentOutOfRangeException">The version is neither 1 nor 2.</exception>
    public static ProxyHeader For(Microsoft.AspNetCore.Connections.ConnectionContext connection, int version = 2)
    {
        ArgumentNullException.ThrowIfNull(connection);
        ThrowIfUnknown(version);
        return new ProxyHeader
        {
            Version = version,
            Source = connection.RemoteEndPoint,
            Destination = connection.LocalEndPoint,
            Tlvs = version == 2 ? connection.Features.Get<IProxyProtocolFeature>()?.Header.Tlvs ?? [] : [],
        };
    }

    /// <summary>Writes the header without flushing.</summary>
    /// <param name="output">Receives the bytes.</param>
    /// <param name="withChecksum">Whether to add a CRC32C TLV (version 2 only).</param>
    /// <exception cref="InvalidOperationException">The TLVs make the header longer than 65,535 bytes.</exception>
    public void WriteTo(IBufferWriter<byte> output, bool withChecksum = false)
    {
        ArgumentNullException.ThrowIfNull(output);
        ThrowIfUnknown(Version);
        ProxyProtocol.ProxyHeaderWriter.Write(this, output, withChecksum);
    }

    /// <summary>Returns the version and the addresses, for logs.</summary>
    public override string ToString() => IsLocal ? $"PROXY v{Version} LOCAL" : $"PROXY v{Version} {Source} -> {Destination}";

    private static void ThrowIfUnknown(int version)
    {
        if (version is not (1 or 2))
        {
            throw new ArgumentOutOfRangeException(nameof(version), version, "The version of a PROXY header is 1 or 2.");
        }
    }

    private ProxyTlv? Find(byte type)
    {
        foreach (ProxyTlv tlv in _tlvs)
        {
            if (tlv.Type == type)
            {
                return tlv;
            }
        }

        return null;
    }

    private string? Text(byte type, Encoding encoding) => Find(type) is ProxyTlv tlv ? encoding.GetString(tlv.Value.Span) : null;
}

using System.Buffers;
using System.Net;
using System.Text;

namespace ByteStreams;

/// <summary>
/// What a PROXY protocol header says: who really connected, and to whom, as the proxy in between saw it. Source: HAProxy's
/// proxy-protocol.txt, versions 1 and 2.
/// </summary>
/// <example>
/// <code>
/// // Tells a backend who the client is, before anything else is sent:
/// var options = new ByteStreamClientOptions { ProxyHeader = ProxyHeader.For(writer.Transport!) };
/// </code>
/// </example>
public sealed class ProxyHeader
{
    private readonly IReadOnlyList<ProxyTlv> _tlvs = [];

    /// <summary>The header that a proxy sends for connections of its own, such as health checks: no client is behind it.</summary>
    public static ProxyHeader Local { get; } = new() { Version = 2, IsLocal = true };

    /// <summary>1, the line of text, or 2, the binary form; 2 by default.</summary>
    public int Version { get; init; } = 2;

    /// <summary>Whether the connection is the proxy's own (command LOCAL of version 2).</summary>
    public bool IsLocal { get; init; }

    /// <summary>The client's address; null where the proxy does not tell (LOCAL, UNKNOWN, UNSPEC).</summary>
    public EndPoint? Source { get; init; }

    /// <summary>The address that the client connected to; null where the proxy does not tell.</summary>
    public EndPoint? Destination { get; init; }

    /// <summary>The additions of version 2 in their order, known ones and others; CRC32C and NOOP left out.</summary>
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

    /// <summary>The host name that the client asked for, usually its SNI (PP2_TYPE_AUTHORITY).</summary>
    public string? Authority => Text(ProxyTlv.Authority, Encoding.UTF8);

    /// <summary>The proxy's own id of the connection, at most 128 bytes (PP2_TYPE_UNIQUE_ID); empty where there is none.</summary>
    public ReadOnlyMemory<byte> UniqueId => Find(ProxyTlv.UniqueId)?.Value ?? default;

    /// <summary>The network namespace that the client came from (PP2_TYPE_NETNS).</summary>
    public string? NetworkNamespace => Text(ProxyTlv.NetworkNamespace, Encoding.ASCII);

    /// <summary>The id of the AWS VPC endpoint that the client came through (PP2_TYPE_AWS, subtype 1).</summary>
    public string? AwsVpcEndpointId => Find(ProxyTlv.Aws)?.Value is { Length: > 1 } value && value.Span[0] == 1
        ? Encoding.ASCII.GetString(value.Span[1..])
        : null;

    /// <summary>What the proxy says about the client's TLS (PP2_TYPE_SSL); null where it says nothing.</summary>
    public ProxySsl? Ssl => Find(ProxyTlv.Ssl) is ProxyTlv tlv ? new ProxySsl(tlv.Value) : null;

    /// <summary>The header that tells a backend about a connection: its client and its own address, forwarded if a header told them.</summary>
    /// <param name="connection">A connection that was accepted.</param>
    /// <param name="version">1 or 2.</param>
    /// <exception cref="ArgumentOutOfRangeException">Neither 1 nor 2.</exception>
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

    /// <summary>Writes the header.</summary>
    /// <param name="output">Where to; nothing is flushed.</param>
    /// <param name="withChecksum">Whether a CRC32C is added (version 2 only).</param>
    /// <exception cref="InvalidOperationException">The version is neither 1 nor 2, or the additions are longer than 65,535 bytes together.</exception>
    public void WriteTo(IBufferWriter<byte> output, bool withChecksum = false)
    {
        ArgumentNullException.ThrowIfNull(output);
        ThrowIfUnknown(Version);
        ProxyProtocol.ProxyHeaderWriter.Write(this, output, withChecksum);
    }

    /// <summary>As it appears in logs.</summary>
    public override string ToString() => IsLocal ? $"PROXY v{Version} LOCAL" : $"PROXY v{Version} {Source} -> {Destination}";

    private static void ThrowIfUnknown(int version)
    {
        if (version is not (1 or 2))
        {
            throw new ArgumentOutOfRangeException(nameof(version), version, "There are the versions 1 and 2.");
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

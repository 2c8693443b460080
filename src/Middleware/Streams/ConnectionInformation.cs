using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Transport.Unix;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace ByteStreams.Streams;

/// <summary>What a connection's features tell about it, also after it has ended; nothing of a bare pipe, which has no connection.</summary>
internal static class ConnectionInformation
{
    public static UnixCredentials? PeerCredentials(ConnectionContext? connection) =>
        connection is null ? null : UnixPeerCredentials.For(connection);

    public static SslStream? SslStream(ConnectionContext? connection) => connection?.Features.Get<ISslStreamFeature>()?.SslStream;

    public static X509Certificate2? PeerCertificate(ConnectionContext? connection) =>
        ReadTls<ITlsConnectionFeature, X509Certificate2?>(connection, static tls => tls.ClientCertificate);

    public static TlsCipherSuite? CipherSuite(ConnectionContext? connection) =>
        ReadTls<ITlsHandshakeFeature, TlsCipherSuite?>(connection, static tls => tls.NegotiatedCipherSuite);

    public static SslProtocols? TlsProtocol(ConnectionContext? connection) =>
        ReadTls<ITlsHandshakeFeature, SslProtocols?>(connection, static tls => tls.Protocol);

    public static SslApplicationProtocol ApplicationProtocol(ConnectionContext? connection) =>
        ReadTls<ITlsApplicationProtocolFeature, SslApplicationProtocol>(
            connection, static tls => tls.ApplicationProtocol.IsEmpty ? default : new SslApplicationProtocol(tls.ApplicationProtocol.ToArray()));

    public static string? TlsServerName(ConnectionContext? connection) =>
        ReadTls<ITlsHandshakeFeature, string?>(connection, static tls => tls.HostName is { Length: > 0 } name ? name : null);

    /// <summary>The information of one of asyncio's names; null where the value or the name is unknown.</summary>
    public static object? Find(ConnectionContext? connection, string name) => name switch
    {
        "peername" => connection?.RemoteEndPoint,
        "sockname" => connection?.LocalEndPoint,
        "socket" => connection?.Features.Get<IConnectionSocketFeature>()?.Socket,
        "peercred" => PeerCredentials(connection),
        "ssl_object" => SslStream(connection) ?? (object?)connection?.Features.Get<ITlsHandshakeFeature>(),
        "sslcontext" => connection?.Features.Get<TlsOptionsFeature>()?.Options,
        "peercert" => PeerCertificate(connection),
        "cipher" => CipherSuite(connection),
        "alpn" => ApplicationProtocol(connection) is { Protocol.Length: > 0 } protocol ? protocol : null,
        "sni" => TlsServerName(connection),
        _ => null,
    };

    /// <summary>Reads what a handshake has negotiated; nothing once the stream of another TLS implementation than this library's is disposed.</summary>
    private static TResult? ReadTls<TFeature, TResult>(ConnectionContext? connection, Func<TFeature, TResult> read)
        where TFeature : class
    {
        try
        {
            return connection?.Features.Get<TFeature>() is TFeature tls ? read(tls) : default;
        }
        catch (InvalidOperationException)
        {
            // The connection has ended, which disposes the stream on any thread.
            return default;
        }
    }
}

using System.Net;

namespace ByteStreams;

/// <summary>
/// The PROXY header with which a connection began. Where the header has addresses, the connection's <c>RemoteEndPoint</c> and
/// <c>LocalEndPoint</c> are those of the header.
/// </summary>
public interface IProxyProtocolFeature
{
    /// <summary>The header.</summary>
    ProxyHeader Header { get; }

    /// <summary>The address of the proxy.</summary>
    EndPoint? ProxyEndPoint { get; }

    /// <summary>The local address to which the proxy connected.</summary>
    EndPoint? ListeningEndPoint { get; }
}

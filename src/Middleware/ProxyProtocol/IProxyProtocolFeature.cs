using System.Net;

namespace ByteStreams;

/// <summary>
/// On a connection that began with a PROXY header: what it said, and who said it. The connection's own <c>RemoteEndPoint</c> and
/// <c>LocalEndPoint</c> are then the client's, where the header tells them.
/// </summary>
public interface IProxyProtocolFeature
{
    /// <summary>The header.</summary>
    ProxyHeader Header { get; }

    /// <summary>The address of the proxy itself.</summary>
    EndPoint? ProxyEndPoint { get; }

    /// <summary>The address that the proxy connected to.</summary>
    EndPoint? ListeningEndPoint { get; }
}

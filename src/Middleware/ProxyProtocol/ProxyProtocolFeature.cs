using System.Net;

namespace ByteStreams.ProxyProtocol;

internal sealed record ProxyProtocolFeature(ProxyHeader Header, EndPoint? ProxyEndPoint, EndPoint? ListeningEndPoint) : IProxyProtocolFeature;

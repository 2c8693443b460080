using System.Net;
using ByteStreams;
using StreamsHost.Output;

namespace StreamsHost.Hosting;

/// <summary>
/// Reports the address of each endpoint and a command that connects to it: one line of text on a terminal, a log entry elsewhere.
/// </summary>
internal sealed partial class EndpointAnnouncer(IConfiguration configuration, TextWriter output, ILogger<EndpointAnnouncer> logger)
    : IEndpointAnnouncer
{
    public void Announce(EndpointDescription endpoint, IReadOnlyList<EndPoint> addresses)
    {
        bool isReadable = HostLogging.IsReadable(configuration);
        foreach (EndPoint endPoint in addresses)
        {
            (string address, string command) = (EndpointUrl.Format(endPoint, endpoint.IsTls), Command(endPoint, endpoint));
            if (isReadable)
            {
                output.WriteLine($"{endpoint.Name,-12} {address,-44} try: {command}");
            }
            else
            {
                Listening(logger, endpoint.Name, address, command);
            }
        }

        output.Flush();
    }

    private static string Command(EndPoint endPoint, EndpointDescription endpoint) => endPoint switch
    {
        IPEndPoint ip when endpoint.IsTls => $"{TlsClient(endpoint)} -connect {new IPEndPoint(Reachable(ip.Address), ip.Port)}",
        IPEndPoint ip => $"nc {Reachable(ip.Address)} {ip.Port}",
        _ when Path(endPoint).StartsWith('@') => $"socat - ABSTRACT-CONNECT:{Path(endPoint)[1..]}",
        _ when endpoint.IsTls => $"{TlsClient(endpoint)} -unix {Path(endPoint)}",
        _ => $"nc -U {Path(endPoint)}",
    };

    /// <summary>
    /// <c>-quiet</c> alone ignores the end of the input; then only a signal ends the command, without close_notify.
    /// </summary>
    private static string TlsClient(EndpointDescription endpoint) =>
        "openssl s_client -quiet -no_ign_eof" + (endpoint.ClientCertificates == ClientCertificates.Require ? " -cert client.crt -key client.key" : "");

    /// <summary>An address that reaches a listener on all interfaces from this machine.</summary>
    private static IPAddress Reachable(IPAddress address) =>
        address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any) ? IPAddress.Loopback : address;

    [LoggerMessage(901, LogLevel.Information, "Endpoint {Endpoint} listens on {Address}; connect with: {Command}")]
    private static partial void Listening(ILogger logger, string endpoint, string address, string command);

    /// <summary>The runtime formats an abstract name with a leading zero or @.</summary>
    private static string Path(EndPoint endPoint) => endPoint.ToString()!.Replace('\0', '@');
}

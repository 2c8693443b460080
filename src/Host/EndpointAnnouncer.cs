using System.Net;
using ByteStreams;
using ByteStreams.Hosting;
using ByteStreams.Transport.Addresses;

namespace StreamsHost;

/// <summary>
/// Reports one line for each endpoint when all of them are up, and for those that a reload adds or moves: its real address, and a command
/// to try. People get it as it is, and a program that reads the log as an entry of it.
/// </summary>
internal sealed partial class EndpointAnnouncer(IConfiguration configuration, TextWriter output, ILogger<EndpointAnnouncer> logger)
    : IEndpointAnnouncer
{
    public void Announce(EndpointPlan plan, IReadOnlyList<EndPoint> endPoints)
    {
        bool isReadable = HostLogging.IsReadable(configuration);
        bool isTls = plan.Tls is not null;
        foreach (EndPoint endPoint in endPoints)
        {
            (string address, string command) = (EndpointUrl.Format(endPoint, isTls), Command(endPoint, plan.Tls));
            if (isReadable)
            {
                output.WriteLine($"{plan.Name,-12} {address,-44} try: {command}");
            }
            else
            {
                Listening(logger, plan.Name, address, command);
            }
        }

        output.Flush();
    }

    private static string Command(EndPoint endPoint, TlsServerOptions? tls) => endPoint switch
    {
        IPEndPoint ip when tls is not null => $"{TlsClient(tls)} -connect {new IPEndPoint(Reachable(ip.Address), ip.Port)}",
        IPEndPoint ip => $"nc {Reachable(ip.Address)} {ip.Port}",
        _ when Path(endPoint).StartsWith('@') => $"socat - ABSTRACT-CONNECT:{Path(endPoint)[1..]}",
        _ when tls is not null => $"{TlsClient(tls)} -unix {Path(endPoint)}",
        _ => $"nc -U {Path(endPoint)}",
    };

    /// <summary>
    /// <c>-quiet</c> alone would ignore the end of the input; then only a signal ends the command, without close_notify.
    /// </summary>
    private static string TlsClient(TlsServerOptions tls) =>
        "openssl s_client -quiet -no_ign_eof" + (tls.ClientCertificates == ClientCertificates.Require ? " -cert client.crt -key client.key" : "");

    /// <summary>All interfaces are reached on this machine through the loopback one.</summary>
    private static IPAddress Reachable(IPAddress address) =>
        address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any) ? IPAddress.Loopback : address;

    [LoggerMessage(901, LogLevel.Information, "Endpoint {Endpoint} listens on {Address}, try: {Command}")]
    private static partial void Listening(ILogger logger, string endpoint, string address, string command);

    /// <summary>The runtime shows an abstract name with a leading zero or @; people write @.</summary>
    private static string Path(EndPoint endPoint) => endPoint.ToString()!.Replace('\0', '@');
}

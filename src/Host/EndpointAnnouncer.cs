using System.Net;
using System.Net.Sockets;
using ByteStreams;

namespace StreamsHost;

/// <summary>
/// Tells one line for each endpoint when all of them are up: its real address, and a command to try. People get it as it is, and a
/// program that reads the log as an entry of it.
/// </summary>
internal sealed partial class EndpointAnnouncer(ByteStreamServers servers, IConfiguration configuration, TextWriter output, ILogger<EndpointAnnouncer> logger)
    : IHostedLifecycleService
{
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        bool isReadable = HostLogging.IsReadable(configuration);
        foreach (string name in servers.Names)
        {
            TlsServerOptions? tls = servers.Plan(name)?.Tls;
            foreach (EndPoint endPoint in servers[name].EndPoints)
            {
                (string address, string command) = (Address(endPoint, tls is not null), Command(endPoint, tls));
                if (isReadable)
                {
                    output.WriteLine($"{name,-12} {address,-44} try: {command}");
                }
                else
                {
                    Listening(logger, name, address, command);
                }
            }
        }

        output.Flush();
        return Task.CompletedTask;
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    internal static string Address(EndPoint endPoint, bool isTls) => endPoint switch
    {
        UnixDomainSocketEndPoint => $"unix:{Path(endPoint)}",
        _ => $"{(isTls ? "tls" : "tcp")}://{endPoint}",
    };

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

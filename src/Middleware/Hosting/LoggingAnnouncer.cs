using System.Net;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>Logs addresses, as Kestrel does for its endpoints.</summary>
internal sealed class LoggingAnnouncer(ILoggerFactory loggerFactory) : IEndpointAnnouncer
{
    private readonly ILogger _logger = loggerFactory.CreateLogger("ByteStreams.Hosting");

    public void Announce(EndpointDescription endpoint, IReadOnlyList<EndPoint> addresses)
    {
        foreach (EndPoint address in addresses)
        {
            HostingLog.Listening(_logger, EndpointUrl.Format(address, endpoint.IsTls), endpoint.Name);
        }
    }
}

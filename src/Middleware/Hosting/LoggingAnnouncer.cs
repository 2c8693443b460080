using System.Net;
using ByteStreams.Transport.Addresses;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>Reports in the log, as Kestrel does for its own endpoints.</summary>
internal sealed class LoggingAnnouncer(ILoggerFactory loggerFactory) : IEndpointAnnouncer
{
    private readonly ILogger _logger = loggerFactory.CreateLogger("ByteStreams.Hosting");

    public void Announce(EndpointPlan plan, IReadOnlyList<EndPoint> endPoints)
    {
        foreach (EndPoint endPoint in endPoints)
        {
            HostingLog.Listening(_logger, EndpointUrl.Format(endPoint, plan.Tls is not null), plan.Name);
        }
    }
}

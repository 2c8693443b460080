using System.Net;

namespace ByteStreams;

/// <summary>
/// Reports the addresses of endpoints: when all services of the host have started, and after a configuration reload has added or moved an
/// endpoint. A service: the host's own registration replaces the library's, which logs event 820.
/// </summary>
public interface IEndpointAnnouncer
{
    /// <summary>Reports one endpoint. It must not block or throw.</summary>
    /// <param name="endpoint">The endpoint.</param>
    /// <param name="addresses">Its addresses, each with its real port. <see cref="EndpointUrl.Format"/> writes them as URLs.</param>
    void Announce(EndpointDescription endpoint, IReadOnlyList<EndPoint> addresses);
}

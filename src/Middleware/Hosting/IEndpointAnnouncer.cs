using System.Net;

namespace ByteStreams.Hosting;

/// <summary>Reports where endpoints listen: at the start, and when a reload has added or moved one.</summary>
internal interface IEndpointAnnouncer
{
    /// <summary>Reports one endpoint.</summary>
    /// <param name="plan">The endpoint.</param>
    /// <param name="endPoints">Its addresses, each with its real port.</param>
    void Announce(EndpointPlan plan, IReadOnlyList<EndPoint> endPoints);
}

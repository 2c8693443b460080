using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>Applies the limits of all endpoints together: connections, buffered bytes, and queued messages.</summary>
internal sealed class ServiceLimits(ConnectionTotal total, ByteStreamConnections connections, ILogger logger)
{
    /// <summary>Sets the limits before a client is accepted.</summary>
    /// <param name="settings">The configured limits.</param>
    /// <param name="relays">Whether an endpoint is a relay, whose connections take two descriptors.</param>
    public void Initialize(ServiceSettings settings, bool relays)
    {
        total.Change(settings.MaxConnections, relays);
        BufferLimit.Process.Change(settings.MaxBufferedBytes);
    }

    /// <summary>Derives the defaults again after the start, from the descriptors that are open then, and logs the limits.</summary>
    public void Complete(ServiceSettings settings, bool relays)
    {
        total.Measure(settings.MaxConnections, relays);
        if (settings.MaxConnections is null)
        {
            AdmissionLog.TotalDerived(logger, total.Most, total.Capacity.Limit.Most, total.Capacity.AtRest, total.Capacity.Memory >> 20);
        }

        WarnOfCapacity(relays);
        HostingLog.BufferLimitSet(logger, BufferLimit.Process.Limit);
    }

    /// <summary>Applies the limits of a reload, and logs those that have changed.</summary>
    public void Change(ServiceSettings settings, bool relays)
    {
        (connections.MaxPending, connections.PendingTimeout) = (settings.MaxPending, settings.PendingTimeout);
        if (total.Change(settings.MaxConnections, relays))
        {
            HostingLog.TotalChanged(logger, total.Most);
            WarnOfCapacity(relays);
        }

        if (BufferLimit.Process.Change(settings.MaxBufferedBytes))
        {
            HostingLog.BufferLimitSet(logger, BufferLimit.Process.Limit);
        }
    }

    private void WarnOfCapacity(bool relays)
    {
        int capacity = total.Capacity.Derive(relays);
        if (total.Most > capacity)
        {
            AdmissionLog.TotalTooHigh(logger, total.Most, capacity, total.Capacity.Limit.Most);
        }
    }
}

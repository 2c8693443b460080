using System.Threading.RateLimiting;
using ByteStreams.Telemetry;
using ByteStreams.Transport;

namespace ByteStreams.Admission;

/// <summary>The places that one connection holds: given back when it ends.</summary>
internal sealed class AdmissionPlaces : ConnectionEnding
{
    public PermitLimiter? Total { get; set; }

    public PermitLimiter? Endpoint { get; set; }

    public RateLimitLease? Own { get; set; }

    /// <summary>Whose queue it has an entry of; null where it has none.</summary>
    public AdmissionControl? Queue { get; set; }

    public void LeaveQueue()
    {
        Queue?.LeaveQueue();
        Queue = null;
    }

    public override void OnEnded()
    {
        Total?.Release();
        Endpoint?.Release();
        Own?.Dispose();
        LeaveQueue();
    }
}

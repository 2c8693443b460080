using System.Threading.RateLimiting;

namespace ByteStreams.Admission;

/// <summary>The places that one connection holds: given back when it ends.</summary>
internal sealed class AdmissionPlaces : IDisposable
{
    public RateLimitLease? Total { get; set; }

    public RateLimitLease? Endpoint { get; set; }

    public RateLimitLease? Own { get; set; }

    public void Dispose()
    {
        Total?.Dispose();
        Endpoint?.Dispose();
        Own?.Dispose();
    }
}

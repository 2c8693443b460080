using System.Threading.RateLimiting;
using ByteStreams.Connections;

namespace ByteStreams.Admission;

/// <summary>The permits of one endpoint that a connection holds. They are given back when it has closed.</summary>
internal sealed class AdmissionPermits(AdmissionControl control) : ConnectionResource
{
    private readonly AdmissionControl _control = control;

    /// <summary>Whether it holds one of all endpoints' connections.</summary>
    public bool HasTotal { get; set; }

    /// <summary>Whether it holds one of the endpoint's connections.</summary>
    public bool HasEndpoint { get; set; }

    /// <summary>Whether it holds an entry of the queue.</summary>
    public bool IsQueued { get; set; }

    /// <summary>The lease of the application's own rate limiter; null without one.</summary>
    public RateLimitLease? Lease { get; set; }

    /// <summary>The permits that a connection holds of an endpoint; null without them.</summary>
    public static AdmissionPermits? Find(ConnectionState connection, AdmissionControl control)
    {
        ConnectionResource? resource = connection.LastResource;
        while (resource is not null && !(resource is AdmissionPermits permits && permits._control == control))
        {
            resource = resource.Earlier;
        }

        return (AdmissionPermits?)resource;
    }

    public override void Release() => _control.Release(this);
}

using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>
/// Bounds the connections that have not sent their PROXY header yet: each takes its permits, or an entry of the queue, at accept.
/// <see cref="AdmissionMiddleware"/> takes the rest once the client is known.
/// </summary>
internal sealed class AdmissionReservation(ConnectionDelegate next, AdmissionControl control) : ConnectionMiddleware(next, forwards: true)
{
    protected override Task ServeAsync(ConnectionState connection)
    {
        var permits = new AdmissionPermits(control);
        ConnectionCloseReason refused = control.Reserve(permits);
        return Verdict.ContinueAsync(connection, permits, refused, control.Banner, Next);
    }
}

using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>
/// Bounds the connections that have still to send their PROXY header: each takes its permits, or an entry of the queue, at the accept.
/// <see cref="AdmissionMiddleware"/> takes the rest once the client is known.
/// </summary>
internal sealed class AdmissionReservation(ConnectionDelegate next, AdmissionControl control)
{
    public Task OnConnectionAsync(ConnectionContext context)
    {
        var places = new AdmissionPlaces();
        ConnectionEndReason refused = control.Reserve(places);
        context.Features.Set(places);
        return AdmissionMiddleware.GoOnAsync(context, refused, places, control.Banner, next);
    }
}

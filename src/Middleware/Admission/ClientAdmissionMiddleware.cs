using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Lets each client have its share and no more. Behind the PROXY protocol, where there is one, so that it sees the real client.</summary>
internal sealed class ClientAdmissionMiddleware(ConnectionDelegate next, AdmissionControl control)
{
    public Task OnConnectionAsync(ConnectionContext context)
    {
        ConnectionEndReason refused = control.Enter(context, out ConnectionEnding? place);
        return AdmissionMiddleware.GoOnAsync(context, refused, place, control.Banner, next);
    }
}

using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Lets each client have its share and no more. Behind the PROXY protocol, where there is one, so that it sees the real client.</summary>
internal sealed class ClientAdmissionMiddleware(ConnectionDelegate next, AdmissionControl control)
{
    public async Task OnConnectionAsync(ConnectionContext context)
    {
        ConnectionEndReason refused = control.Enter(context, out ClientNetwork? client);
        if (refused != ConnectionEndReason.None)
        {
            await AdmissionMiddleware.RefuseAsync(context, refused, control.Banner).ConfigureAwait(false);
            return;
        }

        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            if (client is ClientNetwork counted)
            {
                control.Leave(counted);
            }
        }
    }
}

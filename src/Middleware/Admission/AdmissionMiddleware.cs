using System.Text;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Lets a connection in when there is a place for it, and keeps the place until the connection has ended.</summary>
internal sealed class AdmissionMiddleware(ConnectionDelegate next, AdmissionControl control)
{
    public async Task OnConnectionAsync(ConnectionContext context)
    {
        using var places = new AdmissionPlaces();
        ConnectionEndReason refused = await control.EnterAsync(context, places).ConfigureAwait(false);
        if (refused != ConnectionEndReason.None)
        {
            await RefuseAsync(context, refused, control.Banner).ConfigureAwait(false);
            return;
        }

        await next(context).ConfigureAwait(false);
    }

    /// <summary>Ends a connection that is not let in: with a banner, if there is one, cleanly; else at once.</summary>
    public static async Task RefuseAsync(ConnectionContext context, ConnectionEndReason reason, string? banner)
    {
        IByteStreamTransportFeature link = ConnectionLink.Of(context);
        if (string.IsNullOrEmpty(banner))
        {
            link.Abort(reason);
            return;
        }

        try
        {
            await context.Transport.Output.WriteAsync(Encoding.UTF8.GetBytes(banner)).ConfigureAwait(false);
        }
        catch (Exception lost) when (lost is ConnectionResetException or ConnectionAbortedException)
        {
            // Who is refused need not wait to be told.
        }

        link.Close(reason);
    }
}

using System.Text;
using ByteStreams.Telemetry;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Lets a connection in when there is a place for it, and keeps the place until the connection has ended.</summary>
internal sealed class AdmissionMiddleware(ConnectionDelegate next, AdmissionControl control)
{
    public Task OnConnectionAsync(ConnectionContext context)
    {
        // What was reserved before the PROXY header is given back by the reservation.
        AdmissionPlaces? reserved = context.Features.Get<AdmissionPlaces>();
        AdmissionPlaces places = reserved ?? new AdmissionPlaces();
        ValueTask<ConnectionEndReason> entered = control.EnterAsync(context, places);
        AdmissionPlaces? own = reserved is null ? places : null;
        return entered.IsCompletedSuccessfully
            ? GoOnAsync(context, entered.Result, own, control.Banner, next)
            : WaitAsync(context, entered, own);
    }

    private async Task WaitAsync(ConnectionContext context, ValueTask<ConnectionEndReason> entered, AdmissionPlaces? places) =>
        await GoOnAsync(context, await entered.ConfigureAwait(false), places, control.Banner, next).ConfigureAwait(false);

    /// <summary>Goes on with who is let in, and ends the others. Either way the place is given back when it is over.</summary>
    public static Task GoOnAsync(
        ConnectionContext context, ConnectionEndReason refused, ConnectionEnding? place, string? banner, ConnectionDelegate next)
    {
        if (place is not null)
        {
            if (refused != ConnectionEndReason.None)
            {
                place.OnEnded();
            }
            else if (ConnectionLink.Progress(context).Record is ConnectionRecord record)
            {
                record.Add(place);
            }
            else
            {
                return HoldAsync(context, place, next);
            }
        }

        return refused == ConnectionEndReason.None ? next(context) : RefuseAsync(context, refused, banner);
    }

    private static async Task HoldAsync(ConnectionContext context, ConnectionEnding place, ConnectionDelegate next)
    {
        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            place.OnEnded();
        }
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

using System.Text;
using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Admission;

/// <summary>Passes on a connection that is admitted, and closes one that is refused.</summary>
internal static class Verdict
{
    /// <param name="connection">The connection.</param>
    /// <param name="permit">What it was given; null for nothing. It is released when an admitted connection has closed; at once where it is refused.</param>
    /// <param name="refused">Why it is refused; none where it is admitted.</param>
    /// <param name="banner">The text that a refused client is sent; null for none.</param>
    /// <param name="next">The next middleware.</param>
    public static Task ContinueAsync(
        ConnectionState connection, ConnectionResource? permit, ConnectionCloseReason refused, string? banner, ConnectionDelegate next)
    {
        if (refused != ConnectionCloseReason.None)
        {
            permit?.Release();
            return RefuseAsync(connection.Connection, refused, banner);
        }

        if (permit is not null)
        {
            connection.Add(permit);
        }

        return next(connection.Connection);
    }

    /// <summary>Closes a connection: with a banner, cleanly; without one, by a reset.</summary>
    public static Task RefuseAsync(ConnectionContext context, ConnectionCloseReason reason, string? banner)
    {
        IByteStreamTransportFeature link = ConnectionLink.Of(context);
        if (!string.IsNullOrEmpty(banner))
        {
            return SendAsync(context, link, reason, banner);
        }

        link.Abort(reason);
        return Task.CompletedTask;
    }

    private static async Task SendAsync(ConnectionContext context, IByteStreamTransportFeature link, ConnectionCloseReason reason, string banner)
    {
        try
        {
            await context.Transport.Output.WriteAsync(Encoding.UTF8.GetBytes(banner)).ConfigureAwait(false);
        }
        catch (Exception lost) when (lost is ConnectionResetException or ConnectionAbortedException)
        {
            // A client that has disconnected needs no banner.
        }

        link.Close(reason);
    }
}

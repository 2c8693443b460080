using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Timeouts;

/// <summary>Adds a connection to the heartbeat until it is closed.</summary>
internal sealed class TimeoutsMiddleware(ConnectionDelegate next, TimeoutLimits limits) : ConnectionMiddleware(next, forwards: true)
{
    protected override Task ServeAsync(ConnectionState connection)
    {
        ConnectionContext context = connection.Connection;
        // As middleware before this sees them: after TLS they count plain bytes.
        IByteStreamTransportFeature link = ConnectionLink.Of(context);
        IConnectionProgress progress = ConnectionLink.Progress(context);
        var timeouts = new ConnectionTimeouts(link, progress, limits, connection.Owner is null ? null : connection.Began);
        connection.Timeouts = timeouts;
        limits.Heart.Add(timeouts);
        connection.Add(timeouts);
        return Next(context);
    }
}

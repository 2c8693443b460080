using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport.Sockets;

/// <summary>Kestrel's <see cref="SocketTransportOptions"/>, as <c>UseSockets</c> sets them, applied to this transport.</summary>
internal static class KestrelSocketOptions
{
    /// <summary>Applies the options that the application has changed and that this transport has too; logs the others.</summary>
    /// <param name="given">The application's options.</param>
    /// <param name="options">This transport's options, which are changed.</param>
    /// <param name="logger">Logs one warning that names the options without effect.</param>
    /// <returns>The application's own function that binds a socket; null without one.</returns>
    public static Func<EndPoint, Socket>? Apply(SocketTransportOptions given, ByteStreamListenOptions options, ILogger logger)
    {
        var stock = new SocketTransportOptions();
        if (given.Backlog != stock.Backlog)
        {
            options.Backlog = given.Backlog;
        }

        if (given.NoDelay != stock.NoDelay)
        {
            options.NoDelay = given.NoDelay;
        }

        if (given.MaxWriteBufferSize != stock.MaxWriteBufferSize)
        {
            // For Kestrel's pipe, null and zero are no limit.
            options.WriteBufferHighWater = given.MaxWriteBufferSize is null or 0 ? int.MaxValue : (int)Math.Min(given.MaxWriteBufferSize.Value, int.MaxValue);
        }

        string[] ignored =
        [
            .. Named(nameof(given.IOQueueCount), given.IOQueueCount != stock.IOQueueCount),
            .. Named(nameof(given.MaxReadBufferSize), given.MaxReadBufferSize != stock.MaxReadBufferSize),
            .. Named(nameof(given.UnsafePreferInlineScheduling), given.UnsafePreferInlineScheduling != stock.UnsafePreferInlineScheduling),
            .. Named(nameof(given.WaitForDataBeforeAllocatingBuffer), given.WaitForDataBeforeAllocatingBuffer != stock.WaitForDataBeforeAllocatingBuffer),
        ];
        if (ignored.Length > 0)
        {
            TransportLog.SocketOptionsIgnored(logger, string.Join(", ", ignored));
        }

        return given.CreateBoundListenSocket == stock.CreateBoundListenSocket ? null : given.CreateBoundListenSocket;
    }

    private static string[] Named(string name, bool isChanged) => isChanged ? [name] : [];
}

using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport;

/// <summary>What the transport logs. Ids 300 to 399.</summary>
internal static partial class TransportLog
{
    [LoggerMessage(300, LogLevel.Error,
        "{EndPoint}: accepting a connection failed ({Code}: {Message}); {Count} times since the last such line. The listener goes on.")]
    public static partial void AcceptFailed(ILogger logger, string? endPoint, SocketError code, string message, int count);
}

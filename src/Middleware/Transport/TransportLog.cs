using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Transport;

/// <summary>What the transport logs. Ids 300 to 399.</summary>
internal static partial class TransportLog
{
    [LoggerMessage(300, LogLevel.Error,
        "{EndPoint}: accept failed ({Code}: {Message}), {Count} times since the last such line. The listener continues.")]
    public static partial void AcceptFailed(ILogger logger, string? endPoint, SocketError code, string message, int count);

    [LoggerMessage(301, LogLevel.Information,
        "{EndPoint}: a client disconnected before it was accepted ({Code}: {Message}), {Count} times since the last such line.")]
    public static partial void ClientLeft(ILogger logger, string? endPoint, SocketError code, string message, int count);

    [LoggerMessage(303, LogLevel.Error,
        "{EndPoint}: {Count} connections refused since the last such line, because nearly all of the process's {Limit} descriptors are in use. Raise the limit (ulimit -n, LimitNOFILE), or admit fewer connections (MaxConnections).")]
    public static partial void DescriptorsShort(ILogger logger, string? endPoint, int count, long limit);

    [LoggerMessage(302, LogLevel.Warning,
        "The Unix socket file '{Path}' could not be removed: {Message} The next start replaces it if permissions allow.")]
    public static partial void FileNotRemoved(ILogger logger, string path, string message);

    [LoggerMessage(304, LogLevel.Warning,
        "SocketTransportOptions without effect on the transport of AddByteStreamTransport: {Options}. Remove them from UseSockets; AddByteStreamTransport has EventLoops in place of IOQueueCount and MaxReceiveBlock in place of MaxReadBufferSize.")]
    public static partial void SocketOptionsIgnored(ILogger logger, string options);

    [LoggerMessage(305, LogLevel.Warning,
        "The buffers of all connections hold {Bytes} bytes, more than MaxBufferedBytes ({Limit}): {Paused} connections that hold the most are not read until the total has fallen. Set timeouts (ReceiveIdle, MinReceiveRate, SendStall) that end such connections, raise the limit, or admit fewer connections.")]
    public static partial void BufferLimitExceeded(ILogger logger, long bytes, long limit, int paused);

    [LoggerMessage(306, LogLevel.Information, "The buffers of all connections hold {Bytes} bytes, within MaxBufferedBytes ({Limit}) again.")]
    public static partial void BufferLimitKept(ILogger logger, long bytes, long limit);

    [LoggerMessage(309, LogLevel.Warning,
        "{EndPoint}: {Count} connections refused since the last such line, because {Handlers} handlers block their threads. Use await in place of blocking calls in handlers.")]
    public static partial void HandlersBlock(ILogger logger, string? endPoint, int count, int handlers);
}

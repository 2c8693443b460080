using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Closes a connection whose writer was garbage-collected without a close, and logs a warning (W12). Only outbound connections have
/// one: an accepted connection closes when its handler returns.
/// </summary>
internal sealed class AbandonedGuard : IDisposable
{
    private readonly ConnectionContext _connection;
    private readonly ILogger _logger;
    private readonly string _openedAt;

    public AbandonedGuard(ConnectionContext connection, ILogger logger, string openedAt)
    {
        _connection = connection;
        _logger = logger;
        _openedAt = openedAt;
    }

    ~AbandonedGuard()
    {
        // No byte is unsent: a writer with unsent bytes is still referenced by DeferredFlush or by the pending send.
        // The close bypasses TLS, whose native state may have been finalized before this.
        (_connection as IByteStreamTransportFeature ?? _connection.Features.Get<IByteStreamTransportFeature>())?.Close();
        try
        {
            StreamsLog.Abandoned(_logger, _connection.ConnectionId, _openedAt);
        }
        catch (Exception error) when (error is AggregateException or ObjectDisposedException)
        {
            // The logger may be disposed already. An exception that leaves a finalizer would end the process.
        }
    }

    /// <summary>Returns the caller's stack for the warning. Call it before the first await, after which the stack is no longer the caller's.</summary>
    public static string Caller() =>
#if DEBUG
        Environment.NewLine + new System.Diagnostics.StackTrace(skipFrames: 1, fNeedFileInfo: true);
#else
        "at a call site that only debug builds of the library record";
#endif

    /// <summary>Called when the writer is closed.</summary>
    public void Dispose() => GC.SuppressFinalize(this);
}

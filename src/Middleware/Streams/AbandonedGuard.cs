using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Closes a connection whose writer was collected without having been closed, and says so (W12). Only connections that the
/// program opened itself have one: an accepted connection ends with its handler.
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
        // Nothing is unsent: a writer with unsent bytes is still referenced by whoever will send them.
        // Not through TLS, whose native state may have been finalized before this.
        (_connection as IByteStreamTransportFeature ?? _connection.Features.Get<IByteStreamTransportFeature>())?.Close();
        try
        {
            StreamsLog.Abandoned(_logger, _connection.ConnectionId, _openedAt);
        }
        catch (Exception error) when (error is AggregateException or ObjectDisposedException)
        {
            // A logger that is gone already must not end the process, as any exception from a finalizer does.
        }
    }

    /// <summary>Who is calling, for the warning. To be asked before the first await, behind which the caller's stack is gone.</summary>
    public static string Caller() =>
#if DEBUG
        Environment.NewLine + new System.Diagnostics.StackTrace(skipFrames: 1, fNeedFileInfo: true);
#else
        "at a place that only debug builds of the library record";
#endif

    /// <summary>The writer was closed: nothing is left to guard.</summary>
    public void Dispose() => GC.SuppressFinalize(this);
}

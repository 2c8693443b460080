using ByteStreams.Groups;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// Keeps handlers from running before this host and its peers know each other's groups: what a client sends at once has to reach all members.
/// Endpoints may listen before that, whichever of AddByteStreams and the cluster is registered first.
/// </summary>
internal static class ClusterGate
{
    /// <summary>
    /// The longest wait of a connection. A host that takes longer to join the cluster must not hold clients that could connect to another one.
    /// </summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    /// <summary>Returns the handler; in a cluster, one that waits first.</summary>
    public static ByteStreamDelegate Add(ByteStreamDelegate handler, IServiceProvider services) =>
        services.GetService<ByteStreamBackplane>() is not ByteStreamBackplane backplane
            ? handler
            : (reader, writer, stopping) => backplane.WhenReady.IsCompletedSuccessfully && !backplane.HasEnded
                ? handler(reader, writer, stopping)
                : WaitAsync(backplane, handler, services.GetService<TimeProvider>() ?? TimeProvider.System, reader, writer, stopping);

    private static async Task WaitAsync(
        ByteStreamBackplane backplane,
        ByteStreamDelegate handler,
        TimeProvider time,
        ByteStreamReader reader,
        ByteStreamWriter writer,
        CancellationToken stopping)
    {
        // Kestrel's own transport reports the peer's FIN as a close, after which the peer may still wait for its reply.
        Task closed = writer.CanWriteEof ? writer.WaitClosedAsync(CancellationToken.None) : Task.Delay(Timeout.Infinite, stopping);
        Task either = Task.WhenAny(backplane.WhenReady, closed);
        await either.WaitAsync(LongestWait, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (backplane.WhenReady.IsCompletedSuccessfully && !backplane.HasEnded)
        {
            await handler(reader, writer, stopping).ConfigureAwait(false);
        }
        else if (!closed.IsCompleted || stopping.IsCancellationRequested)
        {
            // The host is stopping, has been evicted, or is not ready in time: the client can connect to another host.
            writer.Abort(ConnectionCloseReason.Drained, cause: null);
        }
    }
}

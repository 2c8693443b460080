using ByteStreams.Groups;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// Delays handlers until this host and its peers have exchanged their groups, because the first message of a client must reach all members.
/// Endpoints may listen before that, whatever the order in which AddByteStreams and the cluster are registered.
/// </summary>
internal static class ClusterGate
{
    /// <summary>
    /// The maximum wait of a connection. If the host does not become ready in that time, the client should connect to another host.
    /// </summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);

    /// <summary>Returns the handler; in a cluster, wrapped in a wait for readiness.</summary>
    public static ByteStreamDelegate Add(ByteStreamDelegate handler, IServiceProvider services) =>
        services.GetService<ByteStreamBackplane>() is not ByteStreamBackplane backplane
            ? handler
            : (reader, writer, stopping) => backplane.WhenReady.IsCompletedSuccessfully && !backplane.IsEvicted
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
        if (backplane.WhenReady.IsCompletedSuccessfully && !backplane.IsEvicted)
        {
            await handler(reader, writer, stopping).ConfigureAwait(false);
        }
        else if (!closed.IsCompleted || stopping.IsCancellationRequested)
        {
            // The host is stopping, evicted, or not ready in time. The client reconnects to another host.
            writer.Abort(ConnectionCloseReason.Drained, cause: null);
        }
    }
}

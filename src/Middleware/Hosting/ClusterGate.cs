using ByteStreams.Groups;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>
/// Keeps handlers from running before this host and its peers know each other's groups: what a client sends at once has to reach all members.
/// Endpoints may listen before that, whichever of AddByteStreams and the cluster is registered first.
/// </summary>
internal static class ClusterGate
{
    /// <summary>Returns the handler; in a cluster, one that waits first.</summary>
    public static ByteStreamDelegate Add(ByteStreamDelegate handler, IServiceProvider services) =>
        services.GetService<ByteStreamBackplane>() is not ByteStreamBackplane backplane
            ? handler
            : (reader, writer, stopping) => backplane.WhenReady.IsCompletedSuccessfully && !backplane.HasEnded
                ? handler(reader, writer, stopping)
                : WaitAsync(backplane, handler, reader, writer, stopping);

    private static async Task WaitAsync(
        ByteStreamBackplane backplane, ByteStreamDelegate handler, ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await backplane.WhenReady.WaitAsync(stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (backplane.WhenReady.IsCompletedSuccessfully && !backplane.HasEnded)
        {
            await handler(reader, writer, stopping).ConfigureAwait(false);
        }
        else
        {
            // The host stops, or is no member any more: the client finds another one.
            writer.Abort(ConnectionCloseReason.Drained, cause: null);
        }
    }
}

using ByteStreams.Timeouts;
using ByteStreams.Transport;

namespace ByteStreams.Relay;

/// <summary>Polls for a disconnect while a relay awaits something else, on transports that report it only to a read or a write.</summary>
internal static class DisconnectPolling
{
    /// <summary>Awaits a task, and polls once per heartbeat meanwhile.</summary>
    public static async Task<TResult> WaitAsync<TResult>(Task<TResult> task, IConnectionProgress progress, TimeProvider time)
    {
        while (!task.IsCompleted && !progress.ReportsLoss)
        {
            await ((Task)task).WaitAsync(Heartbeat.Period, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            progress.LookForLoss();
        }

        return await task.ConfigureAwait(false);
    }
}

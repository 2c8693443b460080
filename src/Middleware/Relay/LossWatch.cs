using ByteStreams.Timeouts;
using ByteStreams.Transport;

namespace ByteStreams.Relay;

/// <summary>Looks for the loss of a connection while a relay waits for something else, on transports that report it only to a read or a send.</summary>
internal static class LossWatch
{
    /// <summary>Waits for a task, and looks for a loss in each period of the heartbeat meanwhile.</summary>
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

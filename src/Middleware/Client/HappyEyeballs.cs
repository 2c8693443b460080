using System.Net;
using ByteStreams.Transport;

namespace ByteStreams;

/// <summary>
/// Tries addresses as RFC 8305, 5 says: each next one beside the ones before when these have had their time or have failed; the
/// first to connect wins, every other socket is closed.
/// </summary>
internal static class HappyEyeballs
{
    /// <param name="candidates">In the order in which they are tried.</param>
    /// <param name="connect">One attempt; tests put their own in.</param>
    /// <param name="options">The delay and the clock.</param>
    /// <param name="cancellationToken">Ends every attempt.</param>
    public static async Task<TConnected> ConnectAsync<TConnected>(
        IReadOnlyList<EndPoint> candidates, Func<EndPoint, CancellationToken, Task<TConnected>> connect,
        ByteStreamConnectOptions options, CancellationToken cancellationToken)
        where TConnected : class, IDisposable
    {
        using var losers = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        TimeSpan delay = options.HappyEyeballsDelay > TimeSpan.Zero ? options.HappyEyeballsDelay : Timeout.InfiniteTimeSpan;
        var running = new List<(EndPoint EndPoint, Task<TConnected> Attempt)>();
        var failures = new List<(EndPoint EndPoint, Exception Error)>();
        TConnected? winner = null;
        int next = 0;
        try
        {
            while (winner is null && (next < candidates.Count || running.Count > 0))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (next < candidates.Count)
                {
                    running.Add((candidates[next], connect(candidates[next], losers.Token)));
                    next++;
                }

                winner = await FirstOrTurnAsync(running, failures, next < candidates.Count ? delay : Timeout.InfiniteTimeSpan, options.TimeProvider, losers.Token)
                    .ConfigureAwait(false);
            }

            if (winner is null)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw AllFailed(failures);
            }

            // A cancellation that comes now is too late: thrown here, it would lose the connected socket.
            return winner;
        }
        finally
        {
            await losers.CancelAsync().ConfigureAwait(false);
            foreach ((_, Task<TConnected> loser) in running)
            {
                await CloseAsync(loser).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Waits for a success (returned), a failure (noted; null) or the end of the delay (null), whichever comes first.</summary>
    private static async Task<TConnected?> FirstOrTurnAsync<TConnected>(
        List<(EndPoint EndPoint, Task<TConnected> Attempt)> running, List<(EndPoint EndPoint, Exception Error)> failures, TimeSpan delay, TimeProvider time, CancellationToken cancellationToken)
        where TConnected : class, IDisposable
    {
        using var done = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task turn = Task.Delay(delay, time, done.Token);
        Task first = await Task.WhenAny([.. running.Select(started => started.Attempt), turn]).ConfigureAwait(false);
        await done.CancelAsync().ConfigureAwait(false);
        if (first is not Task<TConnected> attempt)
        {
            return null;
        }

        EndPoint endPoint = running.Find(started => started.Attempt == attempt).EndPoint;
        running.RemoveAll(started => started.Attempt == attempt);
        if (attempt.IsCompletedSuccessfully)
        {
            return await attempt.ConfigureAwait(false);
        }

        failures.Add((endPoint, attempt.Exception?.InnerException ?? new OperationCanceledException(cancellationToken)));
        return null;
    }

    private static async Task CloseAsync<TConnected>(Task<TConnected> loser)
        where TConnected : class, IDisposable
    {
        await ((Task)loser).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (loser.IsCompletedSuccessfully)
        {
            (await loser.ConfigureAwait(false)).Dispose();
        }
    }

    /// <summary>An attempt for which there was no descriptor decides: its address may be fine, and the lack is this process's.</summary>
    private static Exception AllFailed(List<(EndPoint EndPoint, Exception Error)> failures) => failures.Count == 1
        ? failures[0].Error
        : failures.Find(failure => DescriptorLimit.IsShortage(failure.Error)).Error ?? new IOException(
            "No address could be connected to: " + string.Join("; ", failures.Select(failure => $"{failure.EndPoint}: {failure.Error.Message}")),
            new AggregateException(failures.Select(failure => failure.Error)));
}

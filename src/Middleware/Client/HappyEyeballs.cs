using System.Net;
using ByteStreams.Transport;

namespace ByteStreams;

/// <summary>
/// Connects to the first of several addresses that accepts (RFC 8305, 5): the next attempt starts when the previous one has failed or the delay
/// has elapsed. The sockets of all other attempts are closed.
/// </summary>
internal static class HappyEyeballs
{
    /// <param name="candidates">The addresses in the order of the attempts.</param>
    /// <param name="connect">Performs one attempt; tests replace it.</param>
    /// <param name="options">The delay and the clock.</param>
    /// <param name="cancellationToken">Cancels every attempt.</param>
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

                winner = await WaitForNextAsync(running, failures, next < candidates.Count ? delay : Timeout.InfiniteTimeSpan, options.TimeProvider, losers.Token)
                    .ConfigureAwait(false);
            }

            if (winner is null)
            {
                cancellationToken.ThrowIfCancellationRequested();
                throw GetError(failures);
            }

            // A cancellation after this point is ignored, because throwing would leak the connected socket.
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

    /// <summary>Waits for the first of: a success (returned), a failure (recorded; returns null), the end of the delay (returns null).</summary>
    private static async Task<TConnected?> WaitForNextAsync<TConnected>(
        List<(EndPoint EndPoint, Task<TConnected> Attempt)> running, List<(EndPoint EndPoint, Exception Error)> failures, TimeSpan delay, TimeProvider time, CancellationToken cancellationToken)
        where TConnected : class, IDisposable
    {
        using var done = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task elapsed = Task.Delay(delay, time, done.Token);
        Task first = await Task.WhenAny([.. running.Select(started => started.Attempt), elapsed]).ConfigureAwait(false);
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

    /// <summary>Returns the error of all attempts. A descriptor shortage takes precedence, because it says nothing about the addresses.</summary>
    private static Exception GetError(List<(EndPoint EndPoint, Exception Error)> failures) => failures.Count == 1
        ? failures[0].Error
        : failures.Find(failure => DescriptorLimit.IsShortage(failure.Error)).Error ?? new IOException(
            "Connect failed to every address: " + string.Join("; ", failures.Select(failure => $"{failure.EndPoint}: {failure.Error.Message}")),
            new AggregateException(failures.Select(failure => failure.Error)));
}

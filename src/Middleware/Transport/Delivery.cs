namespace ByteStreams.Transport;

/// <summary>How long a reset waits for bytes that were written before it.</summary>
internal static class Delivery
{
    /// <summary>A peer that accepts nothing for so long is reset.</summary>
    public static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(1);

    /// <summary>The delays between two polls of the unacknowledged bytes: nothing reports an acknowledgement, and a delayed one takes 40 ms.</summary>
    private static readonly TimeSpan ShortestDelay = TimeSpan.FromMilliseconds(1);

    private static readonly TimeSpan LongestDelay = TimeSpan.FromMilliseconds(32);

    /// <summary>Waits until everything is sent and acknowledged, or for as long as the bound allows. Never faulted.</summary>
    /// <param name="output">What is to be sent.</param>
    /// <param name="isAcknowledged">Whether the peer's side has everything that was sent.</param>
    /// <param name="taken">Counts the bytes that the peer's side has accepted: each one restarts the bound. Null for a fixed bound.</param>
    /// <param name="bound">The time limit.</param>
    /// <param name="time">The clock.</param>
    public static async Task WaitAsync(
        TransportPipeWriter output, Func<bool> isAcknowledged, Func<long>? taken, TimeSpan bound, TimeProvider time)
    {
        using var late = new CancellationTokenSource(bound, time);
        try
        {
            Task flushed = FlushAllAsync(output, late.Token);
            long before = taken?.Invoke() ?? 0;
            for (TimeSpan delay = ShortestDelay; !flushed.IsCompleted || !isAcknowledged(); delay = delay < LongestDelay ? delay * 2 : delay)
            {
                await Task.Delay(delay, time, late.Token).ConfigureAwait(false);
                if (taken?.Invoke() is long now && now != before)
                {
                    before = now;
                    late.CancelAfter(bound);
                }
            }

            await flushed.ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested)
        {
            // The peer accepts nothing: it does not get the rest.
        }
    }

    /// <summary>Sends everything that was written, or ends because that has become impossible; also of an output that is completed.</summary>
    private static async Task FlushAllAsync(TransportPipeWriter output, CancellationToken cancellationToken)
    {
        output.SetLimits(0, 0);
        try
        {
            if (!output.IsCompleted)
            {
                await output.FlushAsync(cancellationToken).ConfigureAwait(false);
                return;
            }
        }
        catch (InvalidOperationException) when (output.IsCompleted)
        {
            // Completed between the check and the flush.
        }

        await output.Finished.WaitAsync(cancellationToken).ConfigureAwait(false);
    }
}

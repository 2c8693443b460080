namespace ByteStreams.Transport;

/// <summary>The zero-copy path of the relay: bytes are sent from the block that they were received into.</summary>
internal static class Forwarding
{
    /// <summary>Sends buffered bytes to the target, and takes from the queue those that it accepts without a wait.</summary>
    /// <returns>Whether it has accepted all of them.</returns>
    public static bool TryForward(this IOnward onward, ref SegmentQueue queue)
    {
        onward.OnPassing();
        while (queue.Count > 0)
        {
            // Empty where a reader has consumed exactly the first block.
            ReadOnlySpan<byte> bytes = queue.FirstSpan;
            int taken = bytes.IsEmpty ? 0 : onward.Writer.TrySend(bytes);
            queue.Take(taken);
            if (taken < bytes.Length)
            {
                return false;
            }
        }

        return true;
    }
}

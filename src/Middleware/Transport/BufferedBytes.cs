namespace ByteStreams.Transport;

/// <summary>
/// Counts the bytes of the pooled blocks that the buffers of all connections of the process hold: received and not consumed, written
/// and not sent.
/// </summary>
/// <remarks>
/// Each thread has a count of its own and adds it to the total in steps of <see cref="Batch"/> bytes, so that a message costs no interlocked
/// operation.
/// </remarks>
internal static class BufferedBytes
{
    /// <summary>The most bytes that one thread has counted and not added to the total.</summary>
    private const int Batch = 16384;

    private static readonly Lock Gate = new();
    private static readonly List<Share> Shares = [];

    [ThreadStatic]
    private static Share? _own;

    private static long _total;
    private static int _threads;

    /// <summary>The bytes at this moment.</summary>
    public static long Total
    {
        get
        {
            lock (Gate)
            {
                long total = Volatile.Read(ref _total);
                foreach (Share share in Shares)
                {
                    total += Volatile.Read(ref share.Bytes);
                }

                return Math.Max(0, total);
            }
        }
    }

    /// <summary>Adds bytes that were rented, or subtracts bytes that were returned (negative).</summary>
    public static void Add(int bytes)
    {
        Share own = _own ??= AddShare();
        int sum = own.Bytes + bytes;
        if (sum is < Batch and > -Batch)
        {
            Volatile.Write(ref own.Bytes, sum);
            return;
        }

        Volatile.Write(ref own.Bytes, 0);
        BufferLimit.Process.OnTotalChanged(Interlocked.Add(ref _total, sum), uncertainty: (long)Volatile.Read(ref _threads) * Batch);
    }

    private static Share AddShare()
    {
        var added = new Share();
        lock (Gate)
        {
            // The count of a thread that has exited is added to the total.
            Shares.RemoveAll(static share =>
            {
                bool isOver = !share.Owner.IsAlive;
                Interlocked.Add(ref _total, isOver ? share.Bytes : 0);
                return isOver;
            });
            Shares.Add(added);
            Volatile.Write(ref _threads, Shares.Count);
        }

        return added;
    }

    /// <summary>One thread's part of the count.</summary>
    private sealed class Share
    {
        public readonly Thread Owner = Thread.CurrentThread;
        public int Bytes;
    }
}

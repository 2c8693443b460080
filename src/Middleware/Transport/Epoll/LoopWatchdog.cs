namespace ByteStreams.Transport.Epoll;

/// <summary>
/// Checks every loop each five milliseconds, so that a blocking handler delays others by ten at most. After a second without events it sleeps
/// until the next event: an idle server has no ticks.
/// </summary>
internal static class LoopWatchdog
{
    private const int TickMilliseconds = 5;
    private const int QuietTicks = 200;

    private static readonly Lock Gate = new();
    private static readonly SemaphoreSlim Wake = new(0, 1);
    private static volatile EventLoop[] _loops = [];
    private static volatile bool _asleep;

    public static void Add(EventLoop loop)
    {
        lock (Gate)
        {
            if (_loops.Length == 0)
            {
                new Thread(Run) { IsBackground = true, Name = "ByteStreams watchdog" }.UnsafeStart();
            }

            _loops = [.. _loops, loop];
        }
    }

    /// <summary>Called for each event, after a full fence and before any code that may block.</summary>
    public static void Awake()
    {
        if (_asleep)
        {
            WakeUp();
        }
    }

    private static void WakeUp()
    {
        lock (Gate)
        {
            if (_asleep)
            {
                _asleep = false;
                Wake.Release();
            }
        }
    }

    private static void Run()
    {
        int quiet = 0;
        while (true)
        {
            Thread.Sleep(TickMilliseconds);
            quiet = Look() ? 0 : quiet + 1;
            if (quiet < QuietTicks)
            {
                continue;
            }

            // The flag is set before another check: the check sees an earlier event, and a later event sees the flag.
            _asleep = true;
            Interlocked.MemoryBarrier();
            if (Look())
            {
                WakeUp();
            }

            Wake.Wait();
            quiet = 0;
        }
    }

    private static bool Look()
    {
        bool busy = false;
        foreach (EventLoop loop in _loops)
        {
            busy |= loop.Watch();
        }

        return busy;
    }
}

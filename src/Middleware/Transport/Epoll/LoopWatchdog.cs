namespace ByteStreams.Transport.Epoll;

/// <summary>
/// Looks at every loop each five milliseconds, so that a handler that blocks keeps the others waiting for ten at most. Where
/// nothing happens for a second it stops looking, and the first event wakes it: an idle server has no ticks.
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

    /// <summary>Called for each event, behind a full fence and before anything that may block.</summary>
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

            // First the flag, then another look: a loop that has taken an event before that is seen here, a later one sees the flag.
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

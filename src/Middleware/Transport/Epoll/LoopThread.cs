using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport;

/// <summary>
/// The threads of the Linux engine: one leads each loop, and others run handlers that were found to block. They are made as they
/// are needed, kept for ten seconds, and never taken from the thread pool, which blocking handlers would starve.
/// </summary>
internal sealed class LoopThread
{
    /// <summary>Long enough for bursts of blocking handlers to reuse threads; short enough for the memory of a rare burst.</summary>
    private static readonly TimeSpan KeptIdle = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The most threads for handlers that block. They are a remedy and no way of working: a thread costs some 100 KiB, and what
    /// blocks a thousand of them will block the next one too. Further handlers wait for one to be free.
    /// </summary>
    private const int MostBlocking = 1000;

    private static readonly Lock Gate = new();
    private static readonly List<LoopThread> Idle = [];
    private static readonly Queue<Action<Turn>> Queued = [];
    private static int _blocking;

    private readonly Turn _turn = new();
    private readonly object _signal = new();
    private Action<Turn>? _work;
    private bool _mayBlock;

    private LoopThread(Action<Turn> work, bool mayBlock) => (_work, _mayBlock) = (work, mayBlock);

    /// <summary>Runs something that is likely to block; behind others where too many block already.</summary>
    public static void RunBlocking(Action<Turn> work)
    {
        lock (Gate)
        {
            if (_blocking >= MostBlocking)
            {
                Queued.Enqueue(work);
                return;
            }

            _blocking++;
        }

        Run(work, mayBlock: true);
    }

    private static void RunQueued(Action<Turn> work, Turn turn)
    {
        turn.EndWatch();
        Action<Turn>? next = work;
        while (next is not null)
        {
            next(turn);
            turn.End();
            lock (Gate)
            {
                if (!Queued.TryDequeue(out next))
                {
                    _blocking--;
                }
            }
        }
    }

    /// <summary>Runs something on a thread that nobody else waits for.</summary>
    public static void Run(Action<Turn> work) => Run(work, mayBlock: false);

    private static void Run(Action<Turn> work, bool mayBlock)
    {
        LoopThread? idle = null;
        lock (Gate)
        {
            if (Idle.Count > 0)
            {
                // The one that became idle last is warm; the first ones get to leave.
                idle = Idle[^1];
                Idle.RemoveAt(Idle.Count - 1);
            }
        }

        if (idle is null)
        {
            var added = new LoopThread(work, mayBlock);
            new Thread(added.Run) { IsBackground = true, Name = "ByteStreams loop" }.UnsafeStart();
            return;
        }

        lock (idle._signal)
        {
            (idle._work, idle._mayBlock) = (work, mayBlock);
            Monitor.Pulse(idle._signal);
        }
    }

    private void Run()
    {
        Turn.Begin(_turn);
        while (TryTakeWork(out Action<Turn>? work, out bool mayBlock))
        {
            if (mayBlock)
            {
                RunQueued(work, _turn);
            }
            else
            {
                work(_turn);
                _turn.End();
            }

            lock (Gate)
            {
                Idle.Add(this);
            }
        }
    }

    private bool TryTakeWork([NotNullWhen(true)] out Action<Turn>? work, out bool mayBlock)
    {
        lock (_signal)
        {
            // Whoever is no longer among the idle ones when its time is up is being given work just now.
            while (_work is null)
            {
                if (!Monitor.Wait(_signal, KeptIdle) && Leave())
                {
                    (work, mayBlock) = (null, false);
                    return false;
                }
            }

            (work, mayBlock, _work) = (_work, _mayBlock, null);
            return true;
        }
    }

    private bool Leave()
    {
        lock (Gate)
        {
            return Idle.Remove(this);
        }
    }
}

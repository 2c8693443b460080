using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// The threads of the Linux engine: one leads each loop, and others run handlers that were found to block. They are made as they
/// are needed, kept for ten seconds, and never taken from the thread pool, which blocking handlers would starve.
/// </summary>
internal sealed class LoopThread
{
    /// <summary>Long enough for bursts of blocking handlers to reuse threads; short enough for the memory of a rare burst.</summary>
    private static readonly TimeSpan KeptIdle = TimeSpan.FromSeconds(10);

    private static readonly Lock Gate = new();
    private static readonly List<LoopThread> Idle = [];

    private readonly Turn _turn = new();
    private readonly object _signal = new();
    private Action<Turn>? _work;

    private LoopThread(Action<Turn> work) => _work = work;

    /// <summary>Runs something on a thread that nobody else waits for.</summary>
    public static void Run(Action<Turn> work)
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
            var added = new LoopThread(work);
            new Thread(added.Run) { IsBackground = true, Name = "ByteStreams loop" }.UnsafeStart();
            return;
        }

        lock (idle._signal)
        {
            idle._work = work;
            Monitor.Pulse(idle._signal);
        }
    }

    private void Run()
    {
        Turn.Begin(_turn);
        while (TryTakeWork(out Action<Turn>? work))
        {
            work(_turn);
            _turn.End();
            lock (Gate)
            {
                Idle.Add(this);
            }
        }
    }

    private bool TryTakeWork([NotNullWhen(true)] out Action<Turn>? work)
    {
        lock (_signal)
        {
            // Whoever is no longer among the idle ones when its time is up is being given work just now.
            while (_work is null)
            {
                if (!Monitor.Wait(_signal, KeptIdle) && Leave())
                {
                    work = null;
                    return false;
                }
            }

            (work, _work) = (_work, null);
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

using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// A thread of the Linux engine: a leader of a loop, or a thread for a handler that blocks. Threads are started on demand, kept idle for ten
/// seconds, and not taken from the thread pool, which blocking handlers would starve.
/// </summary>
internal sealed class LoopThread
{
    /// <summary>Long enough for bursts of blocking handlers to reuse threads; short enough for the memory of a rare burst.</summary>
    private static readonly TimeSpan KeptIdle = TimeSpan.FromSeconds(10);

    private static readonly Lock Gate = new();
    private static readonly List<LoopThread> Idle = [];

    private readonly LoopDispatch _dispatch = new();
    private readonly object _signal = new();
    private Action<LoopDispatch>? _work;

    private LoopThread(Action<LoopDispatch> work) => _work = work;

    /// <summary>Runs <paramref name="work"/> on an idle thread or a new one.</summary>
    public static void Run(Action<LoopDispatch> work)
    {
        LoopThread? idle = null;
        lock (Gate)
        {
            if (Idle.Count > 0)
            {
                // The most recently used thread is warm; the others exit after their time.
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
        LoopDispatch.Begin(_dispatch);
        while (TryTakeWork(out Action<LoopDispatch>? work))
        {
            work(_dispatch);
            _dispatch.End();
            lock (Gate)
            {
                Idle.Add(this);
            }
        }
    }

    private bool TryTakeWork([NotNullWhen(true)] out Action<LoopDispatch>? work)
    {
        lock (_signal)
        {
            // A thread that is not in the idle list when its time elapses has been chosen for work.
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

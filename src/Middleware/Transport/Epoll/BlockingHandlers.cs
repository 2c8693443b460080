using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// The threads of handlers that block, counted: those that run apart from the loops, and those whose loop another thread had to take over.
/// They are a remedy and no way of working: what blocks a thousand of them will block the next one too.
/// </summary>
internal sealed class BlockingHandlers(int most)
{
    /// <summary>The most threads for handlers that block. A thread costs some 100 KiB.</summary>
    public const int Most = 1000;

    private readonly Lock _gate = new();
    private readonly Queue<Action<Turn>> _queued = [];
    private int _threads;

    /// <summary>Those of the process.</summary>
    public static BlockingHandlers Shared { get; } = new(Most);

    /// <summary>Threads in use.</summary>
    public int Count => Volatile.Read(ref _threads);

    /// <summary>Whether the next handler that may block has to wait.</summary>
    public bool IsFull => Count >= most;

    /// <summary>Whether a loop may be risked for a handler that has not blocked so far: were it to block, its thread would come on top.</summary>
    public bool MayRiskLoop => Count is int threads && threads >= most && threads < 2 * most;

    /// <summary>Runs something that may block on a thread of its own; at the limit it waits until one of the others has ended.</summary>
    public void Run(Action<Turn> work)
    {
        lock (_gate)
        {
            if (_threads >= most)
            {
                _queued.Enqueue(work);
                return;
            }

            _threads++;
        }

        LoopThread.Run(turn =>
        {
            turn.EndWatch();
            work(turn);
            turn.End();
            Leave(turn);
        });
    }

    /// <summary>The thread of a loop has turned out to be blocked. It counts, and beyond the limit too: the loop goes on at any price.</summary>
    public void Enter()
    {
        lock (_gate)
        {
            _threads++;
        }
    }

    /// <summary>A thread is free: it does what waits, as long as it is within the limit.</summary>
    public void Leave(Turn turn)
    {
        while (TryTake(out Action<Turn>? next))
        {
            next(turn);
            turn.End();
        }
    }

    private bool TryTake([NotNullWhen(true)] out Action<Turn>? next)
    {
        lock (_gate)
        {
            next = null;
            if (_threads > most || !_queued.TryDequeue(out next))
            {
                _threads--;
                return false;
            }

            return true;
        }
    }
}

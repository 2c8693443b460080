using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// The threads of blocking handlers: those that run handlers outside of the loops, and those whose loop another thread has taken over. Their
/// number is bounded, because handlers that block a thousand threads would block any number.
/// </summary>
internal sealed class BlockingHandlers(int most)
{
    /// <summary>The most threads for handlers that block. A thread costs some 100 KiB.</summary>
    public const int Most = 1000;

    private readonly Lock _gate = new();
    private readonly Queue<Action<LoopDispatch>> _queued = [];
    private int _threads;

    /// <summary>The threads of the process.</summary>
    public static BlockingHandlers Shared { get; } = new(Most);

    /// <summary>Threads in use.</summary>
    public int Count => Volatile.Read(ref _threads);

    /// <summary>Whether the next handler that may block has to wait.</summary>
    public bool IsFull => Count >= most;

    /// <summary>Whether, at the limit, a handler that has not blocked so far may run on a loop. If it blocks, its thread exceeds the limit.</summary>
    public bool MayRiskLoop => Count is int threads && threads >= most && threads < 2 * most;

    /// <summary>Runs <paramref name="work"/>, which may block, on a thread outside of the loops; queues it at the limit.</summary>
    public void Run(Action<LoopDispatch> work)
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

        LoopThread.Run(dispatch =>
        {
            dispatch.EndWatch();
            work(dispatch);
            dispatch.End();
            Leave(dispatch);
        });
    }

    /// <summary>Counts the blocked thread of a loop, also beyond the limit: the loop continues on another thread in any case.</summary>
    public void Enter()
    {
        lock (_gate)
        {
            _threads++;
        }
    }

    /// <summary>Called by a thread that has become free: it runs queued work while the count is within the limit.</summary>
    public void Leave(LoopDispatch dispatch)
    {
        while (TryTake(out Action<LoopDispatch>? next))
        {
            next(dispatch);
            dispatch.End();
        }
    }

    private bool TryTake([NotNullWhen(true)] out Action<LoopDispatch>? next)
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

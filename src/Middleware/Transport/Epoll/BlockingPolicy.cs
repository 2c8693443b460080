using System.Diagnostics;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// Decides where the handler of one connection continues: on its loop, or on a thread of <see cref="BlockingHandlers"/> because it has
/// blocked the loop, or because other handlers of the same listener have. Short dispatches there bring it back.
/// </summary>
/// <param name="listener">Per-listener record of blocking handlers; null for outbound connections.</param>
internal struct BlockingPolicy(BlockingSuspicion? listener)
{
    /// <summary>So many short dispatches in a row bring a handler that has blocked back to the loop, and clear a suspected one.</summary>
    private const int Probation = 64;

    /// <summary>A dispatch that does not delay the loop's other connections.</summary>
    private static readonly TimeSpan ShortDispatch = TimeSpan.FromMilliseconds(1);

    // Short dispatches; below zero after the handler has blocked.
    private int _trust;

    /// <summary>
    /// Whether the handler may continue on the loop. One short dispatch is enough for a suspected handler where it would wait for a thread
    /// while blocked handlers have them all.
    /// </summary>
    public readonly bool MayRunOnLoop
    {
        get
        {
            int trust = Volatile.Read(in _trust);
            return trust >= Probation
                || (trust >= 0 && (listener is not { IsRaised: true } || (trust > 0 && BlockingHandlers.Shared.MayRiskLoop)));
        }
    }

    /// <summary>The handler has returned to the loop.</summary>
    public void OnRanOnLoop()
    {
        if (Volatile.Read(ref _trust) == 0)
        {
            // Unless it was found to block meanwhile.
            Interlocked.CompareExchange(ref _trust, 1, 0);
        }
    }

    /// <summary>The handler has blocked its thread.</summary>
    public void OnBlocked()
    {
        Volatile.Write(ref _trust, -Probation);
        listener?.OnBlocked();
    }

    /// <summary>The handler continues on a thread of <see cref="BlockingHandlers"/>, which is the calling one.</summary>
    public static Dispatch BeginApart()
    {
        LoopDispatch current = LoopDispatch.Current!;
        current.HasHandshake = false;
        return new Dispatch(current.Thread);
    }

    /// <summary>The handler has returned.</summary>
    public void EndApart(in Dispatch dispatch)
    {
        if (dispatch.HasBlocked)
        {
            // A handshake computes for about as long as a short dispatch may, and a garbage collection makes any thread wait. Either would keep up
            // the suspicion for ever, although no handler blocks.
            if (LoopDispatch.Current is not { HasHandshake: true } && !dispatch.HasCollected)
            {
                OnBlocked();
            }

            return;
        }

        listener?.OnShortTurn();
        if (Volatile.Read(ref _trust) < Probation)
        {
            Interlocked.Increment(ref _trust);
        }
    }

    /// <summary>What a thread has used when a dispatch began.</summary>
    public readonly struct Dispatch(int thread)
    {
        private readonly TimeSpan? _used = ThreadActivity.ProcessorTime(thread);
        private readonly long _waits = ThreadActivity.Waits();
        private readonly long _begun = Stopwatch.GetTimestamp();
        private readonly int _collections = GC.CollectionCount(0);

        /// <summary>Whether the garbage collector has run meanwhile.</summary>
        public bool HasCollected => GC.CollectionCount(0) != _collections;

        /// <summary>Whether it has waited, or computed for long. A dispatch that was long because the thread had no processor says nothing of the handler.</summary>
        public bool HasBlocked => Stopwatch.GetElapsedTime(_begun) > ShortDispatch
            && (ThreadActivity.Waits() != _waits || _used is null || ThreadActivity.ProcessorTime(thread) - _used > ShortDispatch);
    }
}

using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport;

/// <summary>
/// One dispatch of an event on a thread of the Linux engine: a handler runs until it awaits. Work that was deferred to the end of the dispatch
/// runs then, so that written bytes are sent although the handler awaits something else (W1), without a timer.
/// </summary>
internal sealed class Turn
{
    [ThreadStatic]
    private static Turn? _current;

    private readonly Lock _gate = new();
    private ITurnWork? _first;
    private List<ITurnWork>? _more;
    private volatile bool _isAlone;

    /// <summary>The turn of this thread; null on threads that are not the engine's.</summary>
    public static Turn? Current => _current;

    /// <summary>The kernel's id of the thread whose turn it is.</summary>
    public int Thread { get; private set; }

    /// <summary>
    /// Whether only the thread itself ends it: it leads no loop, and the watchdog does not look at it. What is left for its end does not
    /// leave while a handler blocks, and is to be sent by other means as well.
    /// </summary>
    public bool IsAlone => _isAlone;

    /// <summary>Makes a turn the calling thread's own; null takes it away.</summary>
    public static void Begin(Turn? turn)
    {
        _current = turn;
        turn?.Thread = LibC.ThreadId();
    }

    /// <summary>Its thread leads a loop from now on: the watchdog ends it too.</summary>
    public void BeginWatch() => _isAlone = false;

    /// <summary>The watchdog looks at it no more, and ends it for the last time.</summary>
    public void EndWatch()
    {
        _isAlone = true;
        // An addition looks at the flag after it has added: one of the two sees the other.
        Interlocked.MemoryBarrier();
        End();
    }

    /// <summary>Leaves something for the end of the turn, on the turn's own thread. The caller does so once for each turn.</summary>
    public void Add(ITurnWork work)
    {
        // Most turns write to one connection; whoever writes to many at once can afford the list.
        ITurnWork? first = Interlocked.CompareExchange(ref _first, work, null);
        if (first is null || first == work)
        {
            return;
        }

        lock (_gate)
        {
            (_more ??= []).Add(work);
        }
    }

    /// <summary>Does what was left; by the thread itself at the end, or by another if the turn does not come to an end.</summary>
    public void End()
    {
        // Where an end and an addition have met, only the list may have something.
        if (_first is null && _more is null)
        {
            return;
        }

        Interlocked.Exchange(ref _first, null)?.OnTurnEnd();
        if (_more is not null)
        {
            EndMore();
        }
    }

    private void EndMore()
    {
        List<ITurnWork>? more;
        lock (_gate)
        {
            (more, _more) = (_more, null);
        }

        if (more is not null)
        {
            foreach (ITurnWork work in more)
            {
                work.OnTurnEnd();
            }
        }
    }
}

/// <summary>Something to do at the end of a <see cref="Turn"/>.</summary>
internal interface ITurnWork
{
    void OnTurnEnd();
}

using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport;

/// <summary>
/// One dispatch of an event on a thread of the Linux engine: a handler runs until it awaits. Work that was deferred to the end of the dispatch
/// runs then, so that written bytes are sent although the handler awaits something else (W1), without a timer.
/// </summary>
internal sealed class LoopDispatch
{
    [ThreadStatic]
    private static LoopDispatch? _current;

    private readonly Lock _gate = new();
    private IDispatchWork? _first;
    private List<IDispatchWork>? _more;
    private volatile bool _isAlone;

    /// <summary>The dispatch of this thread; null on a thread that is not the engine's.</summary>
    public static LoopDispatch? Current => _current;

    /// <summary>The kernel's id of its thread.</summary>
    public int Thread { get; private set; }

    /// <summary>
    /// Whether only the thread itself ends it: it leads no loop, and the watchdog does not check it. Work deferred to its end does not run while
    /// a handler blocks, and has to be scheduled elsewhere too.
    /// </summary>
    public bool IsAlone => _isAlone;

    /// <summary>
    /// Whether it has performed a step of a TLS handshake, whose processor time and waits say nothing of the handler. Reset at the beginning of a measurement.
    /// </summary>
    public bool HasHandshake { get; set; }

    /// <summary>Notes a step of a TLS handshake in the dispatch of this thread.</summary>
    public static void NoteHandshake()
    {
        if (_current is LoopDispatch current)
        {
            current.HasHandshake = true;
        }
    }

    /// <summary>Sets the dispatch of the calling thread; null for none.</summary>
    public static void Begin(LoopDispatch? dispatch)
    {
        _current = dispatch;
        dispatch?.Thread = LibC.ThreadId();
    }

    /// <summary>Its thread leads a loop from now on: the watchdog may end it too.</summary>
    public void BeginWatch() => _isAlone = false;

    /// <summary>The watchdog ends it for the last time.</summary>
    public void EndWatch()
    {
        _isAlone = true;
        // An addition reads the flag after it has added: one of the two sees the other.
        Interlocked.MemoryBarrier();
        End();
    }

    /// <summary>Defers work to the end of the dispatch. Called on the dispatch's thread, once per dispatch and caller.</summary>
    public void Add(IDispatchWork work)
    {
        // Most dispatches write to one connection; the list is for the others.
        IDispatchWork? first = Interlocked.CompareExchange(ref _first, work, null);
        if (first is null || first == work)
        {
            return;
        }

        lock (_gate)
        {
            (_more ??= []).Add(work);
        }
    }

    /// <summary>Runs the deferred work: on the thread itself at the end, or on the watchdog's while a handler blocks.</summary>
    public void End()
    {
        // After a race of an end and an addition, only the list may have work.
        if (_first is null && _more is null)
        {
            return;
        }

        Interlocked.Exchange(ref _first, null)?.OnDispatchEnd();
        if (_more is not null)
        {
            EndMore();
        }
    }

    private void EndMore()
    {
        List<IDispatchWork>? more;
        lock (_gate)
        {
            (more, _more) = (_more, null);
        }

        if (more is not null)
        {
            foreach (IDispatchWork work in more)
            {
                work.OnDispatchEnd();
            }
        }
    }
}

/// <summary>Work that is deferred to the end of a <see cref="LoopDispatch"/>.</summary>
internal interface IDispatchWork
{
    void OnDispatchEnd();
}

using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// An epoll instance and its leader thread, which waits for events and runs the continuation of each one inline, as asyncio's loop does. If a
/// handler blocks the thread, the watchdog gives the loop and the remaining events to another thread (leader and followers); the old leader
/// finds itself replaced when its handler returns.
/// </summary>
/// <remarks>
/// All registrations are edge-triggered and made once. A loop lives as long as the process and uses no CPU without events.
/// </remarks>
internal sealed unsafe class EventLoop
{
    /// <summary>The events of one epoll_wait: many enough for few calls per event, few enough for a short delay of the last one.</summary>
    private const int MostEvents = 128;

    private const int SlotsInChunk = 1024;

    /// <summary>The processor time after which a dispatch counts as blocking: one interval of the watchdog.</summary>
    private static readonly TimeSpan MostProcessorTime = TimeSpan.FromMilliseconds(5);

    /// <summary>The number of chunks: slots for more descriptors than a process can have open (2^20, Linux's nr_open).</summary>
    private const int MostChunks = 2048;

    /// <summary>The index of a cursor while its leader waits for events and no event can be taken over.</summary>
    private const byte Waiting = byte.MaxValue;

    private readonly Action<Action<LoopDispatch>> _start;
    private readonly int _epoll;
    private readonly byte* _events;
    private readonly LoopPolling _polling = new();

    private readonly Lock _gate = new();
    private readonly Slot[]?[] _chunks = new Slot[]?[MostChunks];
    private readonly Stack<int> _free = [];
    private int _made;

    // The leader's generation (32 bits), the number of its batch (24) and the index of the next event in it (8). Taking an event
    // and taking over the loop are both one exchange of this word, so that each event has exactly one owner.
    private long _cursor = Pack(0, 0, Waiting);
    private int _count;
    private IEventSink? _current;

    // The leader's dispatch; null from a takeover until the new leader begins.
    private LoopDispatch? _dispatch;

    // The cursor and the processor time at the watchdog's last check.
    private long _seen;
    private TimeSpan? _usedAtFirstLook;
    private int _connections;

    /// <param name="start">Runs a leader on a thread of the engine.</param>
    /// <exception cref="System.Net.Sockets.SocketException">The process has no free descriptor.</exception>
    /// <exception cref="IOException">The system cannot start a thread.</exception>
    public EventLoop(Action<Action<LoopDispatch>> start)
    {
        _start = start;
        _epoll = LibC.CreateEpoll();
        _events = LibC.AllocateEvents(MostEvents);
        try
        {
            _start(dispatch => Lead(dispatch, 0));
        }
        catch (OutOfMemoryException error)
        {
            _ = LibC.Close(_epoll);
            NativeMemory.Free(_events);
            throw new IOException("The system has no thread for another event loop: raise its limits (pids, ulimit -u, ulimit -n), or lower EventLoops.", error);
        }
    }

    /// <summary>The registered connections, for the choice of the loop of the next one.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>The position in its events, for <see cref="IsStuckAt"/>.</summary>
    public long Place => Volatile.Read(ref _cursor);

    /// <summary>Whether events wait although the position is still <paramref name="place"/>: no thread was available to take the loop over.</summary>
    public bool IsStuckAt(long place) =>
        Volatile.Read(ref _cursor) == place && (byte)place != Waiting && ((byte)place < _count || LibC.IsReady(_epoll));

    /// <summary>Registers a descriptor. An edge from before the registration is reported at once.</summary>
    /// <returns>The registration, for <see cref="Change"/> and <see cref="Remove"/>.</returns>
    /// <exception cref="System.Net.Sockets.SocketException">The kernel is out of memory, or out of watches (fs.epoll.max_user_watches).</exception>
    public ulong Add(int descriptor, EpollEvents events, IEventSink sink)
    {
        ulong registration;
        lock (_gate)
        {
            int index = _free.Count > 0 ? _free.Pop() : _made++;
            Slot[] chunk = _chunks[index / SlotsInChunk] ??= new Slot[SlotsInChunk];
            ref Slot slot = ref chunk[index % SlotsInChunk];
            Volatile.Write(ref slot.Sink, sink);
            registration = ((ulong)slot.Generation << 32) | (uint)index;
            _connections++;
        }

        int error = LibC.Control(_epoll, LibC.EpollAdd, descriptor, events | EpollEvents.EdgeTriggered, registration);
        if (error != 0)
        {
            Remove(registration);
            throw Errno.ToException(error);
        }

        return registration;
    }

    /// <summary>Changes the events of a registration; a past edge of these is reported again, after the pending events of others.</summary>
    public void Change(int descriptor, EpollEvents events, ulong registration)
    {
        int error = LibC.Control(_epoll, LibC.EpollModify, descriptor, events | EpollEvents.EdgeTriggered, registration);
        if (error != 0)
        {
            throw Errno.ToException(error);
        }
    }

    /// <summary>Removes a descriptor that stays open from epoll.</summary>
    public void Unregister(int descriptor) =>
        _ = LibC.Control(_epoll, LibC.EpollDelete, descriptor, EpollEvents.None, 0);

    /// <summary>Removes a registration; the kernel removes its part with the descriptor. Pending events of it are dropped.</summary>
    public void Remove(ulong registration)
    {
        lock (_gate)
        {
            int index = (int)(uint)registration;
            ref Slot slot = ref _chunks[index / SlotsInChunk]![index % SlotsInChunk];
            if (slot.Generation != (uint)(registration >> 32))
            {
                return;
            }

            slot.Generation++;
            slot.Sink = null;
            _free.Push(index);
            _connections--;
        }
    }

    /// <summary>
    /// Checks whether the leader is in the same dispatch as at the last check. If so, the work deferred to the end of the dispatch runs now, and
    /// another thread takes over the loop if events wait and the leader is blocked.
    /// </summary>
    /// <returns>Whether the loop was active since the last check.</returns>
    public bool Watch()
    {
        // A leader that has not begun waits for a processor. If it were replaced, it would begin after its successor and set its own dispatch:
        // the deferred work of the successor would never run while a handler blocks.
        if (Volatile.Read(ref _dispatch) is not LoopDispatch dispatch)
        {
            return true;
        }

        long now = Volatile.Read(ref _cursor);
        long seen = _seen;
        _seen = now;
        if ((byte)now == Waiting)
        {
            return now != seen;
        }

        if (now != seen)
        {
            _usedAtFirstLook = ThreadActivity.ProcessorTime(dispatch.Thread);
            return true;
        }

        dispatch.End();
        if (((byte)now < _count || LibC.IsReady(_epoll)) && IsBlocked(dispatch))
        {
            uint next = (uint)(now >> 32) + 1;
            IEventSink? blocked = _current;
            if (Interlocked.CompareExchange(ref _cursor, Pack(next, (uint)now), now) == now)
            {
                BlockingHandlers.Shared.Enter();
                blocked?.OnBlocked();
                Volatile.Write(ref _dispatch, null);
                dispatch.EndWatch();
                _start(leading => Lead(leading, next));
            }
        }

        return true;
    }

    /// <summary>Whether the leader sleeps or computes for long. A leader that waits for a processor is not blocked: another thread would wait too.</summary>
    private bool IsBlocked(LoopDispatch leading) =>
        ThreadActivity.IsAsleep(leading.Thread)
        || _usedAtFirstLook is not TimeSpan before
        || ThreadActivity.ProcessorTime(leading.Thread) is not TimeSpan now
        || now - before >= MostProcessorTime;

    private void Lead(LoopDispatch dispatch, uint generation)
    {
        dispatch.BeginWatch();
        Volatile.Write(ref _dispatch, dispatch);
        uint batch = (uint)(Volatile.Read(ref _cursor) >> 8);
        while (TryServe(dispatch, generation) && TryWait(generation, ++batch))
        {
        }

        // Replaced while its handler blocked; the handler has returned.
        BlockingHandlers.Shared.Leave(dispatch);
    }

    /// <summary>Dispatches the rest of the batch. Returns whether this thread still leads.</summary>
    private bool TryServe(LoopDispatch dispatch, uint generation)
    {
        while (true)
        {
            long cursor = Volatile.Read(ref _cursor);
            if ((uint)(cursor >> 32) != generation)
            {
                return false;
            }

            int index = (byte)cursor;
            if (index >= _count)
            {
                return true;
            }

            // Read before the event is taken: a new leader may overwrite the batch.
            (EpollEvents events, ulong data) = LibC.EventAt(_events, index);
            if (Interlocked.CompareExchange(ref _cursor, cursor + 1, cursor) != cursor)
            {
                return false;
            }

            if (Find(data) is IEventSink sink)
            {
                LoopWatchdog.Awake();
                _current = sink;
                sink.OnEvents(events);
                dispatch.End();
            }
        }
    }

    /// <summary>Waits for the next batch. Returns whether this thread still leads.</summary>
    private bool TryWait(uint generation, uint batch)
    {
        long cursor = Volatile.Read(ref _cursor);
        if ((uint)(cursor >> 32) != generation
            || Interlocked.CompareExchange(ref _cursor, Pack(generation, batch, Waiting), cursor) != cursor)
        {
            return false;
        }

        _current = null;
        _count = _polling.Wait(_epoll, _events, MostEvents);
        Volatile.Write(ref _cursor, Pack(generation, batch, 0));
        return true;
    }

    private IEventSink? Find(ulong registration)
    {
        int index = (int)(uint)registration;
        ref Slot slot = ref _chunks[index / SlotsInChunk]![index % SlotsInChunk];
        return slot.Generation == (uint)(registration >> 32) ? Volatile.Read(ref slot.Sink) : null;
    }

    private static long Pack(uint generation, uint batch, byte index) => Pack(generation, (batch << 8) | index);

    private static long Pack(uint generation, uint place) => (long)(((ulong)generation << 32) | place);

    private struct Slot
    {
        public IEventSink? Sink;
        public uint Generation;
    }
}

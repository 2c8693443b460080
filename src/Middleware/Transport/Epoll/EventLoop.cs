using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// An epoll instance and the thread that leads it: it waits, and for each event it goes on with whoever waited for it, inline, as
/// asyncio's loop does. A handler that blocks the thread stops nobody else: the watchdog gives the loop, with the rest of the
/// events at hand, to another thread (leader and followers), and the old one finds itself deposed when it comes back.
/// </summary>
/// <remarks>
/// All registrations are edge-triggered and made once. A loop lives as long as the process and costs nothing while nothing happens.
/// </remarks>
internal sealed unsafe class EventLoop
{
    /// <summary>As many events at once as keep the calls per event low; a turn each, so the last is not late by much.</summary>
    private const int MostEvents = 128;

    private const int SlotsInChunk = 1024;

    /// <summary>A dispatch that has computed for so long has had its time: one look of the watchdog.</summary>
    private static readonly TimeSpan MostProcessorTime = TimeSpan.FromMilliseconds(5);

    /// <summary>Two to this power of chunks: more descriptors than a process can have open (2^20 by Linux's nr_open).</summary>
    private const int MostChunks = 2048;

    /// <summary>The index of a cursor while its leader waits for events, and there is nothing to take over.</summary>
    private const byte Waiting = byte.MaxValue;

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
    private Turn? _turn;

    // What the watchdog saw at its last look.
    private long _seen;
    private TimeSpan? _usedAtFirstLook;
    private int _connections;

    /// <exception cref="System.Net.Sockets.SocketException">There is no descriptor for it.</exception>
    /// <exception cref="IOException">There is no thread for it.</exception>
    public EventLoop()
    {
        _epoll = LibC.CreateEpoll();
        _events = LibC.AllocateEvents(MostEvents);
        try
        {
            LoopThread.Run(turn => Lead(turn, 0));
        }
        catch (OutOfMemoryException error)
        {
            _ = LibC.Close(_epoll);
            NativeMemory.Free(_events);
            throw new IOException("The system has no thread for another event loop: raise its limits (pids, ulimit -u, ulimit -n), or lower EventLoops.", error);
        }
    }

    /// <summary>Connections that are registered here, for whoever chooses a loop for the next one.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>What it is at, for <see cref="IsStuckAt"/>.</summary>
    public long Place => Volatile.Read(ref _cursor);

    /// <summary>Whether events wait although nothing has gone on since it was at <paramref name="place"/>: there was no thread to take it over.</summary>
    public bool IsStuckAt(long place) =>
        Volatile.Read(ref _cursor) == place && (byte)place != Waiting && ((byte)place < _count || LibC.IsReady(_epoll));

    /// <summary>Registers a descriptor. An edge that has passed already is told at once.</summary>
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

    /// <summary>Registers for other events; an edge of these that has passed already is told again, behind what others wait for.</summary>
    public void Change(int descriptor, EpollEvents events, ulong registration)
    {
        int error = LibC.Control(_epoll, LibC.EpollModify, descriptor, events | EpollEvents.EdgeTriggered, registration);
        if (error != 0)
        {
            throw Errno.ToException(error);
        }
    }

    /// <summary>Takes a descriptor out that stays open.</summary>
    public void Unregister(int descriptor) =>
        _ = LibC.Control(_epoll, LibC.EpollDelete, descriptor, EpollEvents.None, 0);

    /// <summary>Forgets a registration; the kernel's part of it ends with the descriptor. Events that are on their way go nowhere.</summary>
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
    /// Looks whether the leader has been in the same turn since the last look. Then whatever that turn has left for its end is done
    /// now, and if others wait and the leader is blocked, another thread goes on.
    /// </summary>
    /// <returns>Whether anything has happened since the last look.</returns>
    public bool Watch()
    {
        long now = Volatile.Read(ref _cursor);
        long seen = _seen;
        _seen = now;
        if ((byte)now == Waiting)
        {
            return now != seen;
        }

        if (now != seen)
        {
            _usedAtFirstLook = _turn is Turn leading ? ThreadActivity.ProcessorTime(leading.Thread) : null;
            return true;
        }

        Turn? turn = _turn;
        turn?.End();
        if (((byte)now < _count || LibC.IsReady(_epoll)) && IsBlocked())
        {
            uint next = (uint)(now >> 32) + 1;
            IEventSink? blocked = _current;
            if (Interlocked.CompareExchange(ref _cursor, Pack(next, (uint)now), now) == now)
            {
                BlockingHandlers.Shared.Enter();
                blocked?.OnBlocked();
                turn?.EndWatch();
                LoopThread.Run(leading => Lead(leading, next));
            }
        }

        return true;
    }

    /// <summary>Whether the leader waits for something, or computes for long: not where it waits for a processor, as another thread would.</summary>
    private bool IsBlocked() =>
        _turn is not Turn leading
        || ThreadActivity.IsAsleep(leading.Thread)
        || _usedAtFirstLook is not TimeSpan before
        || ThreadActivity.ProcessorTime(leading.Thread) is not TimeSpan now
        || now - before >= MostProcessorTime;

    private void Lead(Turn turn, uint generation)
    {
        turn.BeginWatch();
        _turn = turn;
        uint batch = (uint)(Volatile.Read(ref _cursor) >> 8);
        while (TryServe(turn, generation) && TryWait(generation, ++batch))
        {
        }

        // Deposed: its handler has blocked, and has come back.
        BlockingHandlers.Shared.Leave(turn);
    }

    /// <summary>Serves what is left of the batch. Answers whether this thread still leads.</summary>
    private bool TryServe(Turn turn, uint generation)
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

            // Read before it is taken: once another leads, it may overwrite the batch.
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
                turn.End();
            }
        }
    }

    /// <summary>Waits for the next batch. Answers whether this thread still leads.</summary>
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

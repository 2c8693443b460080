using System.Diagnostics.CodeAnalysis;

namespace ByteStreams.Transport;

/// <summary>
/// A reentrant lock in a four-byte field. A connection has several, and must not grow: <see cref="Lock"/> takes 48 bytes, and a monitor
/// locks an object that other code can lock too.
/// </summary>
/// <remarks>
/// <para>The word, as in the thin lock of the runtime's object headers; zero is free:</para>
/// <code>
///  31                        8 7           1 0
/// +---------------------------+-------------+-----------+
/// | managed id of the owner   | recursion   | contended |
/// +---------------------------+-------------+-----------+
/// </code>
/// <para>
/// A thread that finds it held spins for a moment, sets the contended bit and parks on one of the static monitors, chosen by the owner's
/// id. An owner that finds the bit on its exit wakes that monitor; the threads that wake compete again. Reentrant because a channel in
/// memory and a pipe with inline scheduling run the peer's code within a send.
/// </para>
/// </remarks>
internal struct ThinLock
{
    private const int Contended = 1;
    private const int OneRecursion = 1 << 1;
    private const int RecursionMask = 0x7F << 1;
    private const int OwnerShift = 8;
    private const int OwnerMask = -1 << OwnerShift;

    /// <summary>A power of two. Threads that wait for different locks may share a monitor, and then wake each other in vain.</summary>
    private const int ParkingPlaces = 16;

    private static readonly object[] Parked = MakeParkingPlaces();

    private int _word;

    /// <summary>Waits until the calling thread owns the lock. Disposing the result, on the same thread, releases it.</summary>
    /// <exception cref="LockRecursionException">The thread has entered it 127 times more than it has left it.</exception>
    [UnscopedRef]
    public Scope Enter()
    {
        int owner = Environment.CurrentManagedThreadId << OwnerShift;
        if (Interlocked.CompareExchange(ref _word, owner, 0) != 0)
        {
            EnterHeld(owner);
        }

        return new Scope(ref this);
    }

    private void EnterHeld(int owner)
    {
        SpinWait spin = default;
        while (true)
        {
            int word = Volatile.Read(ref _word);
            if (word == 0)
            {
                if (Interlocked.CompareExchange(ref _word, owner, 0) == 0)
                {
                    return;
                }
            }
            else if ((word & OwnerMask) == owner)
            {
                EnterAgain(word);
                return;
            }
            else if (!spin.NextSpinWillYield)
            {
                spin.SpinOnce();
            }
            else if ((word & Contended) != 0 || Interlocked.CompareExchange(ref _word, word | Contended, word) == word)
            {
                Park(word & OwnerMask);
            }
        }
    }

    private void EnterAgain(int word)
    {
        if ((word & RecursionMask) == RecursionMask)
        {
            throw new LockRecursionException("The lock was entered recursively more often than it counts.");
        }

        // Added, because another thread may set the contended bit meanwhile.
        Interlocked.Add(ref _word, OneRecursion);
    }

    private void Park(int owner)
    {
        object place = PlaceOf(owner);
        lock (place)
        {
            // The owner clears the word before it takes the monitor to wake: a thread that still sees the bit is woken.
            int word = Volatile.Read(ref _word);
            if ((word & OwnerMask) == owner && (word & Contended) != 0)
            {
                Monitor.Wait(place);
            }
        }
    }

    private void Exit()
    {
        if ((_word & RecursionMask) != 0)
        {
            Interlocked.Add(ref _word, -OneRecursion);
            return;
        }

        int word = Interlocked.Exchange(ref _word, 0);
        if ((word & Contended) != 0)
        {
            Wake(word & OwnerMask);
        }
    }

    private static void Wake(int owner)
    {
        object place = PlaceOf(owner);
        lock (place)
        {
            Monitor.PulseAll(place);
        }
    }

    private static object PlaceOf(int owner) => Parked[(owner >>> OwnerShift) & (ParkingPlaces - 1)];

    private static object[] MakeParkingPlaces()
    {
        object[] places = new object[ParkingPlaces];
        for (int i = 0; i < places.Length; i++)
        {
            places[i] = new object();
        }

        return places;
    }

    /// <summary>The time for which a thread owns the lock.</summary>
    public readonly ref struct Scope
    {
        private readonly ref ThinLock _owned;

        internal Scope(ref ThinLock owned) => _owned = ref owned;

        public void Dispose() => _owned.Exit();
    }
}

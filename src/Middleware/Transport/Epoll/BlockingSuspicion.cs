namespace ByteStreams.Transport.Epoll;

/// <summary>
/// What the handlers of one listener have shown. Where one has blocked its loop, the next connection's often does too, and each one
/// delays the others on the loop by ten milliseconds until it is found: so unknown handlers run apart from the loop first.
/// </summary>
internal sealed class BlockingSuspicion
{
    /// <summary>Short dispatches that follow from one blocked handler: they show whether it was an accident, such as a moment's paging.</summary>
    private const int TurnsForEach = 256;

    /// <summary>Suspicion ends after so many short dispatches, however many handlers have blocked.</summary>
    private const int MostTurns = 1 << 14;

    // Threads that meet here may leave it above the maximum or below zero for a moment, by one step each.
    private int _turns;

    public bool IsRaised => Volatile.Read(ref _turns) > 0;

    public void OnBlocked()
    {
        if (Interlocked.Add(ref _turns, TurnsForEach) > MostTurns)
        {
            Volatile.Write(ref _turns, MostTurns);
        }
    }

    public void OnShortTurn()
    {
        if (IsRaised)
        {
            Interlocked.Decrement(ref _turns);
        }
    }
}

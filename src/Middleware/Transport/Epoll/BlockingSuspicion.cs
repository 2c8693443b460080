namespace ByteStreams.Transport.Epoll;

/// <summary>
/// What the handlers behind one listener have shown. Where one has blocked its loop, the next client's will too as often as not, and
/// to find that out each time costs the others on the loop ten milliseconds: so the unknown ones run apart from the loop first.
/// </summary>
internal sealed class BlockingSuspicion
{
    /// <summary>One that blocks is suspected of so many turns: they show whether it was an accident, such as a moment's paging.</summary>
    private const int TurnsForEach = 256;

    /// <summary>Suspicion ends after so many short turns, however much there was of it.</summary>
    private const int MostTurns = 1 << 14;

    private int _turns;

    public bool IsRaised => Volatile.Read(ref _turns) > 0;

    public void OnBlocked()
    {
        int before = Volatile.Read(ref _turns);
        int seen;
        while ((seen = Interlocked.CompareExchange(ref _turns, Math.Min(before + TurnsForEach, MostTurns), before)) != before)
        {
            before = seen;
        }
    }

    public void OnShortTurn()
    {
        int before = Volatile.Read(ref _turns);
        int seen;
        while (before > 0 && (seen = Interlocked.CompareExchange(ref _turns, before - 1, before)) != before)
        {
            before = seen;
        }
    }
}

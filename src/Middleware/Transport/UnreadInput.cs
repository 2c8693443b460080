namespace ByteStreams.Transport;

/// <summary>
/// The input that is received although no read asks for it: buffered up to a bound while a caller waits only for the end of the connection,
/// discarded up to a bound during the lingering close. Made at first use. Guarded by the lock of its <see cref="ReceiveDriver"/>.
/// </summary>
internal sealed class UnreadInput(ReceiveDriver driver)
{
    /// <summary>The size of the block that is discarded; 1 MiB takes 64 receives.</summary>
    private const int DiscardBlock = 16384;

    private long _watchBound;
    private long _bound;
    private long _discarded;
    private bool _isDiscarding;
    private bool _isReported;

    /// <summary>The block of all connections that discard: its content is never read.</summary>
    public static byte[] Scratch { get; } = new byte[DiscardBlock];

    /// <summary>Bytes that were discarded so far.</summary>
    public long Discarded => Volatile.Read(ref _discarded);

    public bool IsDiscarding => _isDiscarding;

    /// <summary>Whether receives go to <see cref="Scratch"/>: one that was in flight when the discarding began goes to a block of the reader.</summary>
    public bool IsIntoScratch { get; private set; }

    /// <summary>Whether input is buffered up to a bound although no read waits.</summary>
    public bool IsWatching { get; private set; }

    /// <summary>Whether the bound of the discarded bytes is not reached.</summary>
    private bool IsBelowBound => _discarded < Volatile.Read(ref _bound);

    /// <summary>
    /// Goes on receiving although no read waits, so that the peer's end or a reset is noticed: up to <paramref name="bound"/> buffered bytes,
    /// and one block more after the bytes that a reader holds already.
    /// </summary>
    public void Watch(long bound)
    {
        InputNotice notice;
        using (driver.Gate.Enter())
        {
            (IsWatching, _watchBound) = (true, bound);
            driver.ReceiveAhead();
            notice = driver.TakeNotice();
        }

        driver.Report(notice);
    }

    /// <summary>
    /// Counts and discards what arrives from now on, until the end, a failure, or until <paramref name="bound"/> bytes were discarded: the
    /// lingering close. A second call sets another bound. <see cref="IInputOwner.OnDiscarded"/> reports that the bound is reached.
    /// </summary>
    public void Discard(long bound)
    {
        SetBound(bound);
        InputNotice notice;
        using (driver.Gate.Enter())
        {
            (_isDiscarding, _isReported) = (true, false);
            driver.ReceiveAhead();
            notice = driver.TakeNotice();
        }

        driver.Report(notice);
    }

    /// <summary>Sets the bound of the discarded bytes. Called without the lock: a peer that sends fast keeps the receiving thread within it.</summary>
    public void SetBound(long bound) => Volatile.Write(ref _bound, bound);

    /// <summary>Where the next receive goes while input is discarded: blocks that a reader may still hold stay as they are.</summary>
    public Memory<byte> TakeScratch()
    {
        IsIntoScratch = true;
        return Scratch;
    }

    public void CountDiscarded(int count) => Volatile.Write(ref _discarded, _discarded + count);

    /// <summary>Whether more is to be received.</summary>
    /// <param name="buffered">The bytes that are buffered.</param>
    /// <param name="isShown">Whether the reader has been given all of them: one block more is received after them, for the end.</param>
    public bool IsWanted(long buffered, bool isShown) =>
        _isDiscarding ? IsBelowBound : IsWatching && (buffered < _watchBound || isShown);

    /// <summary>Whether the bound has been reached, once for each bound. Under the lock.</summary>
    public bool TakeReached()
    {
        if (!_isDiscarding || _isReported || IsBelowBound)
        {
            return false;
        }

        return _isReported = true;
    }
}

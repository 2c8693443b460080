namespace ByteStreams.Transport;

/// <summary>The pause of one input at the process's <see cref="BufferLimit"/>. Made at the first pause.</summary>
internal sealed class PausedInput(ReceiveDriver driver) : IPausedReader
{
    private bool _isPaused;

    /// <summary>Whether this input may receive above the limit.</summary>
    public bool MayExceed { get; private set; }

    public bool IsPaused
    {
        get => Volatile.Read(ref _isPaused);
        set => Volatile.Write(ref _isPaused, value);
    }

    public bool IsQueued { get; set; }

    public bool HoldsLittle => driver.HoldsLittle;

    public bool HasPeerEnded => driver.HasPeerEnded;

    public void Resume(bool beyondLimit)
    {
        if (beyondLimit)
        {
            MayExceed = true;
        }

        driver.Resume();
    }
}

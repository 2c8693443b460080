namespace ByteStreams.Tls;

/// <summary>
/// One at a time at the state of a TLS connection. SslStream keeps reads and writes apart itself, but makes its close_notify without
/// looking whether a record is being decrypted meanwhile; OpenSSL then may make none, and the peer waits for the end for ever.
/// </summary>
/// <remarks>A turn is a moment: nobody keeps it while it waits for the peer. It may begin on one thread and end on another.</remarks>
internal sealed class TlsTurn
{
    private int _taken;

    public bool TryEnter() => Interlocked.CompareExchange(ref _taken, 1, 0) == 0;

    public void Enter()
    {
        SpinWait spin = default;
        while (!TryEnter())
        {
            spin.SpinOnce();
        }
    }

    /// <summary>Ends the turn. Answers whether there was one.</summary>
    public bool Leave() => Interlocked.Exchange(ref _taken, 0) != 0;
}

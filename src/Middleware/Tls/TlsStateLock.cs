namespace ByteStreams.Tls;

/// <summary>
/// Spin lock that serialises access to the TLS state. SslStream separates reads from writes itself, but writes close_notify without looking
/// whether a record is being decrypted. OpenSSL then may write none, and the peer waits for EOF forever.
/// </summary>
/// <remarks>Held for the time of one decryption, never while waiting for the peer. One thread may enter it and another leave it.</remarks>
internal sealed class TlsStateLock
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

    /// <summary>Releases the lock. Returns whether it was held.</summary>
    public bool Exit() => Interlocked.Exchange(ref _taken, 0) != 0;
}

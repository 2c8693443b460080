namespace ByteStreams.Tls;

/// <summary>One handshake: what was found wrong with the client's certificate, which the error of a failed handshake does not say.</summary>
internal sealed class TlsAttempt
{
    /// <summary>Why the certificate was not taken; none where it was, or there was none to look at.</summary>
    public ConnectionEndReason Verdict { get; private set; }

    /// <summary>The same in words.</summary>
    public string? Explanation { get; private set; }

    /// <summary>
    /// Whether the peer has yet to send a ClientHello. What goes wrong until then is its doing: SslStream parses what comes before it
    /// knows that it is one, and misses its certificate where it is none.
    /// </summary>
    public bool IsAwaitingHello { get; set; }

    public bool Refuse(ConnectionEndReason verdict, string explanation)
    {
        (Verdict, Explanation) = (verdict, explanation);
        return false;
    }
}

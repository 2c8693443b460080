namespace ByteStreams.Tls;

/// <summary>One handshake: what was found wrong with the client's certificate, which the error of a failed handshake does not say.</summary>
internal sealed class TlsAttempt
{
    /// <summary>Whether the client has said hello.</summary>
    public bool HasBegun { get; set; }

    /// <summary>Why the certificate was not taken; none where it was, or there was none to look at.</summary>
    public ConnectionEndReason Verdict { get; private set; }

    /// <summary>The same in words.</summary>
    public string? Explanation { get; private set; }

    public bool Refuse(ConnectionEndReason verdict, string explanation)
    {
        (Verdict, Explanation) = (verdict, explanation);
        return false;
    }
}

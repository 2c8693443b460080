namespace ByteStreams.Tls.OpenSsl;

/// <summary>The result of a call into an <see cref="OpenSslSession"/>.</summary>
internal enum OpenSslStatus
{
    /// <summary>It was done.</summary>
    Done,

    /// <summary>It needs more bytes of the peer.</summary>
    NeedsInput,

    /// <summary>The peer has sent close_notify.</summary>
    Ended,

    /// <summary>It failed. <see cref="OpenSslSession.Error"/> has the reason, and an alert may wait to be sent.</summary>
    Failed,

    /// <summary>The session was disposed.</summary>
    Disposed,
}

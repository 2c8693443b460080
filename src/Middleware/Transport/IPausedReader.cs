namespace ByteStreams.Transport;

/// <summary>A reader that <see cref="BufferLimit"/> can pause.</summary>
internal interface IPausedReader
{
    /// <summary>Whether it waits to be resumed. Set under the limit's lock; cleared also by the reader itself, which may go on earlier.</summary>
    bool IsPaused { get; set; }

    /// <summary>Whether the limit keeps it. Accessed under the limit's lock only.</summary>
    bool IsQueued { get; set; }

    /// <summary>Whether its connection holds so little that it may receive above the limit.</summary>
    bool HoldsLittle { get; }

    /// <summary>Whether the peer has ended or is gone, so that nothing beyond the socket's own buffer can arrive.</summary>
    bool HasPeerEnded { get; }

    /// <summary>Goes on. Called outside of any lock, also after the reader has gone on by itself.</summary>
    /// <param name="beyondLimit">Whether it may receive above the limit from now on.</param>
    void Resume(bool beyondLimit);
}

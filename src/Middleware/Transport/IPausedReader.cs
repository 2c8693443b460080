namespace ByteStreams.Transport;

/// <summary>A reader that <see cref="BufferLimit"/> can pause.</summary>
internal interface IPausedReader
{
    /// <summary>Whether it waits to be resumed. Set under the limit's lock; the reader may clear it to continue earlier.</summary>
    bool IsPaused { get; set; }

    /// <summary>Whether it is in the limit's queue. Accessed under the limit's lock only.</summary>
    bool IsQueued { get; set; }

    /// <summary>Whether its connection holds so little that it may receive above the limit.</summary>
    bool HoldsLittle { get; }

    /// <summary>Whether the peer has closed, so that no more arrives than the socket's buffer holds.</summary>
    bool HasPeerEnded { get; }

    /// <summary>Continues to receive. Called outside of any lock, also after the reader has continued by itself.</summary>
    /// <param name="beyondLimit">Whether it may receive above the limit from now on.</param>
    void Resume(bool beyondLimit);
}

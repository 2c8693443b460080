namespace ByteStreams.Transport;

/// <summary>The target to which a relay forwards what a <see cref="TransportPipeReader"/> receives.</summary>
internal interface IOnward
{
    /// <summary>The target's output. Its lock is taken within the reader's lock, and never the other way round.</summary>
    TransportPipeWriter Writer { get; }

    /// <summary>Bytes are about to be forwarded. Called under the reader's lock: it must not wait or take a lock.</summary>
    void OnPassing();
}

namespace ByteStreams.Transport;

/// <summary>Where a relay passes on what a <see cref="ChannelReader"/> receives.</summary>
internal interface IOnward
{
    /// <summary>The other side's output. It is locked within the reader's lock, and never the other way round.</summary>
    ChannelWriter Writer { get; }

    /// <summary>Bytes are about to be passed on. Called under the reader's lock: it must not wait or take a lock.</summary>
    void OnPassing();
}

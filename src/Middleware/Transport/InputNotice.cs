namespace ByteStreams.Transport;

/// <summary>What has to be reported to the owner of an input.</summary>
internal enum InputNotice
{
    None,

    /// <summary>The peer has ended its direction, or the connection has failed.</summary>
    Ended,

    /// <summary>The bound of the discarded bytes is reached.</summary>
    Discarded,
}

namespace ByteStreams.Streams;

/// <summary>What became of a message that another than the handler writes.</summary>
internal enum Delivered
{
    /// <summary>The connection is closing, lost, half-closed, or in a TLS upgrade: nothing was written.</summary>
    Refused,

    /// <summary>Written, and sent as far as the peer takes it.</summary>
    Written,

    /// <summary>Written, and more than the high-water mark is queued now: a drain would wait.</summary>
    Blocked,
}

namespace ByteStreams.Streams;

/// <summary>The result of a delivery by <see cref="ByteStreamConnections"/>.</summary>
internal enum DeliveryResult
{
    /// <summary>The connection is closing, failed, half-closed, or in a TLS upgrade: nothing was written.</summary>
    Refused,

    /// <summary>The message was written, and sent as far as the transport accepts it.</summary>
    Written,

    /// <summary>The message was written, and the write buffer is above its high-water mark: a drain would wait.</summary>
    Blocked,
}

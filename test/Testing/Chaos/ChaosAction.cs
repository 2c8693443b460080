namespace ByteStreams.Testing;

/// <summary>What a <see cref="ChaosRelay"/> does to one direction of a connection when the bytes of a <see cref="ChaosStep"/> have been passed on.</summary>
public enum ChaosAction
{
    /// <summary>Nothing: the next step begins, in a send of its own.</summary>
    Continue,

    /// <summary>Passes nothing on, and reads nothing, for <see cref="ChaosStep.For"/>; <see cref="Timeout.InfiniteTimeSpan"/> stalls the direction for good.</summary>
    Pause,

    /// <summary>
    /// Resets both sides. On a Unix socket a peer sees a reset only where bytes that it had sent were still unread; else it sees the end.
    /// </summary>
    Reset,

    /// <summary>Ends this direction, and throws away what its sender still sends. The other direction goes on.</summary>
    HalfClose,

    /// <summary>Throws away everything from here on, the end too: the receiver of this direction hears nothing any more.</summary>
    Drop,
}

using ByteStreams.Telemetry;

namespace ByteStreams.Transport;

/// <summary>How far a connection is, for timeouts and the summary: read from other threads while it is used, so each is a snapshot.</summary>
internal interface IConnectionProgress
{
    /// <summary>Whether a read waits for the peer's bytes: then the peer is late, and not this side.</summary>
    bool IsWaitingForInput { get; }

    /// <summary>Bytes that were received and not consumed: while a read waits, a message that is not whole.</summary>
    long BufferedInput { get; }

    /// <summary>Whether the peer has ended its direction.</summary>
    bool IsInputEnded { get; }

    /// <summary>Whether this side has ended its direction.</summary>
    bool IsOutputEnded { get; }

    /// <summary>Whether the connection is closed for good.</summary>
    bool IsClosed { get; }

    /// <summary>
    /// Done when the transport has taken everything that was written before the close, or when that has become impossible; never faulted.
    /// A close may go on after it, see <see cref="IByteStreamTransportFeature.WaitClosedAsync"/>.
    /// </summary>
    Task OutputFinished { get; }

    /// <summary>What telemetry, where it is the outermost, keeps of the connection; null without it.</summary>
    ConnectionRecord? Record { get; set; }

    /// <summary>The clock's timestamp of the first byte received; zero before it.</summary>
    long FirstByteAt { get; }
}

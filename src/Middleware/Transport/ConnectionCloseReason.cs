namespace ByteStreams;

/// <summary>Why a connection was closed: one list for logs, metrics, traces and code. The first reason is kept.</summary>
public enum ConnectionCloseReason
{
    /// <summary>The connection is open.</summary>
    None = 0,

    /// <summary>The peer shut down its direction first, and then the connection was closed cleanly.</summary>
    ClosedByPeer,

    /// <summary>This side closed first, cleanly: the handler returned, or the writer was closed.</summary>
    ClosedLocally,

    /// <summary>The peer reset the connection, or the network failed.</summary>
    ResetByPeer,

    /// <summary>The operating system gave up on an unresponsive peer (keep-alive or retransmission timed out).</summary>
    TimedOut,

    /// <summary>This side aborted the connection.</summary>
    Aborted,

    /// <summary>The handler threw.</summary>
    HandlerError,

    /// <summary>The server's shutdown deadline passed, or its clients were aborted.</summary>
    ServerShutdown,

    /// <summary>The TLS handshake failed for a reason that has no member of its own.</summary>
    TlsHandshakeFailed,

    /// <summary>The handler returned in time while the server was stopping.</summary>
    Drained,

    /// <summary>The handler failed because the peer sent more than a limit allows (<see cref="LimitOverrunException"/>).</summary>
    LimitExceeded,

    /// <summary>The peer sent no byte within <see cref="TimeoutOptions.FirstByte"/>.</summary>
    FirstByteTimeout,

    /// <summary>The peer sent no byte within <see cref="TimeoutOptions.ReceiveIdle"/> while a read was pending.</summary>
    ReceiveIdleTimeout,

    /// <summary>The peer accepted no byte within <see cref="TimeoutOptions.SendStall"/> while bytes were queued.</summary>
    SendStallTimeout,

    /// <summary>The peer sent the rest of a message more slowly than <see cref="TimeoutOptions.MinReceiveRate"/>.</summary>
    ReceiveRateTooLow,

    /// <summary>The connection was older than <see cref="TimeoutOptions.Lifetime"/>.</summary>
    LifetimeExceeded,

    /// <summary>One direction was shut down, and the other was not within <see cref="TimeoutOptions.HalfClosed"/>.</summary>
    HalfClosedTimeout,

    /// <summary>Refused: all endpoints together have the most connections allowed.</summary>
    RefusedTotal,

    /// <summary>Refused: the endpoint has the most connections allowed (<see cref="AdmissionOptions.MaxConnections"/>).</summary>
    RefusedEndpoint,

    /// <summary>Refused: the client has the most connections allowed (<see cref="AdmissionOptions.MaxConnectionsPerClient"/>).</summary>
    RefusedClient,

    /// <summary>Refused: the endpoint's rate of new connections was exceeded.</summary>
    RefusedRate,

    /// <summary>Refused: the client's rate of new connections was exceeded.</summary>
    RefusedClientRate,

    /// <summary>Refused: no permit became available within <see cref="AdmissionOptions.QueueTimeout"/>.</summary>
    RefusedQueueTimeout,

    /// <summary>Refused: the client's address, by <see cref="AccessListOptions"/>.</summary>
    RefusedAddress,

    /// <summary>Refused: the user of the client on a Unix socket, by <see cref="AccessListOptions"/>.</summary>
    RefusedUser,

    /// <summary>The PROXY header came from an address outside the trusted networks.</summary>
    ProxyUntrusted,

    /// <summary>The PROXY header was missing or malformed.</summary>
    ProxyInvalid,

    /// <summary>The PROXY header did not arrive in time.</summary>
    ProxyTimeout,

    /// <summary>The TLS handshake was not complete in time.</summary>
    TlsHandshakeTimeout,

    /// <summary>The TLS handshake was the oldest one when more were pending than allowed.</summary>
    TlsHandshakeLimit,

    /// <summary>The client sent no certificate, and one is required.</summary>
    TlsCertificateMissing,

    /// <summary>The client's certificate has expired, or is not valid yet.</summary>
    TlsCertificateExpired,

    /// <summary>The client's certificate is not signed by one of the configured authorities, or is revoked, or not made for clients.</summary>
    TlsCertificateUntrusted,

    /// <summary>The client's certificate is valid, and none of its names is allowed.</summary>
    TlsNameNotAllowed,

    /// <summary>The peer closed the TLS connection without close_notify: what it sent may be truncated.</summary>
    TlsTruncated,

    /// <summary>A relay could connect to none of its upstreams.</summary>
    UpstreamUnavailable,

    /// <summary>The relay's upstream connection was reset or failed.</summary>
    UpstreamReset,

    /// <summary>An operator aborted it (<see cref="ByteStreamMonitor.Abort"/>).</summary>
    ClosedByOperator,

    /// <summary>The peer shut down its direction in the middle of a message (<see cref="IncompleteReadException"/>); the connection was reset.</summary>
    IncompleteMessage,

    /// <summary>Refused: blocking handlers use all threads that are available to them, and the endpoint's handlers block.</summary>
    RefusedHandlersBlocked,

    /// <summary>
    /// Refused: nearly all descriptors that the process may open are in use. Raise the limit (<c>ulimit -n</c>, <c>LimitNOFILE</c>), or
    /// admit fewer connections.
    /// </summary>
    RefusedDescriptors,

    /// <summary>The peer sent too many TLS records in a row without application data, such as KeyUpdates.</summary>
    TlsRecordFlood,

    /// <summary>
    /// A slow consumer: more than <c>MaxPending</c> bytes would be queued for it, or its write buffer did not drain within <c>PendingTimeout</c>.
    /// </summary>
    SlowConsumer,

    /// <summary>A newer connection of the same user replaced this one.</summary>
    Replaced,

    /// <summary>The peer sent a frame, or announced one, that is longer than <see cref="Framing.MaxLength"/> (<see cref="LimitOverrunException"/>).</summary>
    FrameTooLong,

    /// <summary>The peer sent bytes that are no frame of the handler's <see cref="Framing"/> (<see cref="InvalidFrameException"/>).</summary>
    InvalidFrame,
}

namespace ByteStreams;

/// <summary>Why a connection ended: one list for logs, metrics, traces and code. The first cause stays.</summary>
public enum ConnectionEndReason
{
    /// <summary>It has not ended.</summary>
    None = 0,

    /// <summary>The peer ended its direction first, and then everything was closed cleanly.</summary>
    ClosedByPeer,

    /// <summary>This side closed first, cleanly: the handler returned, or the writer was closed.</summary>
    ClosedLocally,

    /// <summary>The peer reset the connection, or the network lost it.</summary>
    ResetByPeer,

    /// <summary>The operating system gave up on an unresponsive peer (keep-alive or retransmission timed out).</summary>
    TimedOut,

    /// <summary>This side aborted the connection.</summary>
    Aborted,

    /// <summary>The handler threw.</summary>
    HandlerError,

    /// <summary>The server's shutdown deadline passed, or its clients were aborted.</summary>
    ServerShutdown,

    /// <summary>The TLS handshake failed, for none of the reasons below.</summary>
    TlsHandshakeFailed,

    /// <summary>The server stops, and the handler has returned in time.</summary>
    Drained,

    /// <summary>The handler failed because the peer sent more than a limit allows (<see cref="LimitOverrunException"/>).</summary>
    LimitExceeded,

    /// <summary>The peer sent nothing at all within <see cref="TimeoutOptions.FirstByte"/>.</summary>
    FirstByteTimeout,

    /// <summary>The peer sent nothing within <see cref="TimeoutOptions.ReceiveIdle"/> although a read waited for it.</summary>
    ReceiveIdleTimeout,

    /// <summary>The peer took nothing within <see cref="TimeoutOptions.SendStall"/> although bytes waited for it.</summary>
    SendStallTimeout,

    /// <summary>The peer sent the rest of a message more slowly than <see cref="TimeoutOptions.MinReceiveRate"/>.</summary>
    ReceiveRateTooLow,

    /// <summary>The connection was older than <see cref="TimeoutOptions.Lifetime"/>.</summary>
    LifetimeExceeded,

    /// <summary>One direction had ended, and the other did not within <see cref="TimeoutOptions.HalfClosed"/>.</summary>
    HalfClosedTimeout,

    /// <summary>Refused: as many connections as all endpoints together may have.</summary>
    RefusedTotal,

    /// <summary>Refused: as many connections as the endpoint may have (<see cref="AdmissionOptions.MaxConnections"/>).</summary>
    RefusedEndpoint,

    /// <summary>Refused: as many connections as one client may have (<see cref="AdmissionOptions.MaxConnectionsPerClient"/>).</summary>
    RefusedClient,

    /// <summary>Refused: more connections a second than the endpoint takes.</summary>
    RefusedRate,

    /// <summary>Refused: more connections a second than the endpoint takes from one client.</summary>
    RefusedClientRate,

    /// <summary>Refused: no place became free within <see cref="AdmissionOptions.QueueTimeout"/>.</summary>
    RefusedQueueTimeout,

    /// <summary>Refused: the client's address, by <see cref="AccessListOptions"/>.</summary>
    RefusedAddress,

    /// <summary>Refused: the user of the client on a Unix socket, by <see cref="AccessListOptions"/>.</summary>
    RefusedUser,

    /// <summary>The PROXY header came from outside of the trusted networks.</summary>
    ProxyUntrusted,

    /// <summary>The PROXY header was missing or broke the protocol.</summary>
    ProxyInvalid,

    /// <summary>The PROXY header took too long.</summary>
    ProxyTimeout,

    /// <summary>The TLS handshake took too long.</summary>
    TlsHandshakeTimeout,

    /// <summary>The TLS handshake was the oldest of too many at once.</summary>
    TlsHandshakeLimit,

    /// <summary>The client showed no certificate, and one is required.</summary>
    TlsCertificateMissing,

    /// <summary>The client's certificate has expired, or is not valid yet.</summary>
    TlsCertificateExpired,

    /// <summary>The client's certificate is not signed by one of the configured authorities, or is revoked, or not made for clients.</summary>
    TlsCertificateUntrusted,

    /// <summary>The client's certificate is in order, and names nobody who is allowed.</summary>
    TlsNameNotAllowed,

    /// <summary>The peer ended the TLS connection without close_notify: what it sent may have been cut.</summary>
    TlsTruncated,

    /// <summary>A relay could connect to none of its upstreams.</summary>
    UpstreamUnavailable,

    /// <summary>The upstream to which a relay had passed the connection on reset it, or was lost.</summary>
    UpstreamReset,

    /// <summary>An operator ended it (<see cref="ByteStreamMonitor.Abort"/>).</summary>
    ClosedByOperator,

    /// <summary>The peer ended its direction in the middle of what the handler was reading (<see cref="IncompleteReadException"/>); it got a reset.</summary>
    IncompleteMessage,

    /// <summary>Refused: handlers that block have all the threads that there are for them, and the endpoint's handlers are such.</summary>
    RefusedHandlersBlocked,

    /// <summary>
    /// Refused: nearly all descriptors that the process may open are in use. Raise the limit (<c>ulimit -n</c>, <c>LimitNOFILE</c>), or
    /// admit fewer connections.
    /// </summary>
    RefusedDescriptors,

    /// <summary>The peer sent too many TLS records in a row without application data, such as KeyUpdates.</summary>
    TlsRecordFlood,
}

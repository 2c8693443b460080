namespace ByteStreams.Transport.Sockets;

/// <summary>The part of the listening socket that a listener closes.</summary>
internal enum SocketOwnership
{
    /// <summary>The socket, and its file if the runtime has bound a Unix socket.</summary>
    Socket,

    /// <summary>
    /// The descriptor only: other descriptors refer to the same socket, and the runtime shuts down a listening socket that is disposed while
    /// it accepts.
    /// </summary>
    Descriptor,

    /// <summary>Nothing: the <c>Socket</c> is reused.</summary>
    None,
}

namespace ByteStreams.Transport.Sockets;

/// <summary>What a listener closes of the socket that it listens on.</summary>
internal enum SocketOwnership
{
    /// <summary>The socket, with the file of a Unix one that the runtime has bound.</summary>
    Socket,

    /// <summary>
    /// Its descriptor only: others hold the same socket under other descriptors, and the runtime disconnects a listening socket that is
    /// disposed while it accepts.
    /// </summary>
    Descriptor,

    /// <summary>Nothing: the <c>Socket</c> is used again.</summary>
    None,
}

namespace ByteStreams;

/// <summary>The implementation that drives a connection's socket. The contract is the same with each.</summary>
public enum ByteStreamEngine
{
    /// <summary>
    /// <see cref="Epoll"/> on Linux on x64 and arm64, <see cref="Socket"/> elsewhere. The environment variable
    /// <c>BYTESTREAMS_ENGINE</c> (<c>socket</c>, <c>epoll</c>) decides otherwise for the whole process.
    /// </summary>
    Default,

    /// <summary>The runtime's <see cref="System.Net.Sockets.Socket"/>, on every platform.</summary>
    Socket,

    /// <summary>
    /// Event loops of the library's own on epoll, with half the CPU per message. Handlers run inline on a loop's thread; a handler that
    /// blocks it is detected within 10 ms, and another thread takes over the loop.
    /// </summary>
    Epoll,
}

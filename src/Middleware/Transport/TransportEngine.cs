using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>What drives sockets: accepts from a listening one, connects one, and makes channels of them.</summary>
internal abstract class TransportEngine
{
    /// <summary>
    /// The name of the environment variable that chooses for all who do not choose: <c>socket</c> or <c>epoll</c>, for whoever
    /// compares the engines or has met a fault in one.
    /// </summary>
    private const string Variable = "BYTESTREAMS_ENGINE";

    /// <summary>The engine of those who do not choose.</summary>
    public static ByteStreamEngine Default { get; } = Environment.GetEnvironmentVariable(Variable)?.ToUpperInvariant() switch
    {
        "SOCKET" => ByteStreamEngine.Socket,
        "EPOLL" or null or "" => LibC.IsSupported ? ByteStreamEngine.Epoll : ByteStreamEngine.Socket,
        string other => throw new InvalidOperationException($"{Variable} is '{other}'; it is socket or epoll, or absent."),
    };

    /// <summary>The engine that the options ask for.</summary>
    public static TransportEngine For(ByteStreamTransportOptions options) => options.ResolvedEngine == ByteStreamEngine.Epoll
        ? new EpollEngine(EventLoopGroup.Of(options.EventLoops))
        : SocketEngine.Instance;

    /// <summary>Accepts from a socket that listens already.</summary>
    public abstract IAcceptor Accept(Socket listening, ByteStreamTransportOptions options);

    /// <summary>Connects to one address.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">How.</param>
    /// <param name="loop">The event loop that is to serve it; null takes any.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="SocketException">It could not be connected to.</exception>
    public abstract Task<SocketByteChannel> ConnectAsync(
        EndPoint endPoint, ByteStreamClientOptions options, EventLoop? loop, CancellationToken cancellationToken);
}

/// <summary>Takes connections from a listening socket. One accept at a time.</summary>
internal interface IAcceptor : IDisposable
{
    /// <summary>Whether a handler of the next connection could not begin, because handlers that block have all the threads there may be.</summary>
    bool IsBlocked => false;

    /// <summary>The next connection; null for a client that has left already.</summary>
    /// <exception cref="SocketException">The accept failed; the listener goes on.</exception>
    /// <exception cref="ObjectDisposedException">The acceptor was disposed.</exception>
    /// <exception cref="OperationCanceledException">The token fired.</exception>
    ValueTask<SocketByteChannel?> AcceptAsync(CancellationToken cancellationToken);
}

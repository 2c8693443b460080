using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Sockets;

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
    /// <param name="neighbor">A channel whose event loop shall serve the new one too; null lets the engine choose.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="SocketException">It could not be connected to.</exception>
    public abstract Task<SocketByteChannel> ConnectAsync(
        EndPoint endPoint, ByteStreamConnectOptions options, ByteChannel? neighbor, CancellationToken cancellationToken);
}

/// <summary>Takes connections from a listening socket. One accept at a time.</summary>
internal interface IAcceptor : IDisposable
{
    /// <summary>The threads that blocking handlers use, where they leave none for the next connection's handler; else 0.</summary>
    int BlockingThreads => 0;

    /// <summary>The next connection; null for a client that has left already.</summary>
    /// <exception cref="SocketException">The accept failed; the listener goes on.</exception>
    /// <exception cref="ObjectDisposedException">The acceptor was disposed.</exception>
    /// <exception cref="OperationCanceledException">The token fired.</exception>
    ValueTask<SocketByteChannel?> AcceptAsync(CancellationToken cancellationToken);
}

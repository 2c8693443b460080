using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Epoll;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Sockets;

namespace ByteStreams.Transport;

/// <summary>Accepts from listening sockets and connects sockets; returns channels.</summary>
internal abstract class TransportEngine
{
    /// <summary>The environment variable that sets <see cref="Default"/>: <c>socket</c> or <c>epoll</c>.</summary>
    private const string Variable = "BYTESTREAMS_ENGINE";

    /// <summary>The engine for options without one.</summary>
    public static ByteStreamEngine Default { get; } = Environment.GetEnvironmentVariable(Variable)?.ToUpperInvariant() switch
    {
        "SOCKET" => ByteStreamEngine.Socket,
        "EPOLL" or null or "" => LibC.IsSupported ? ByteStreamEngine.Epoll : ByteStreamEngine.Socket,
        string other => throw new InvalidOperationException($"{Variable} is '{other}'; it is socket or epoll, or absent."),
    };

    /// <summary>The engine of the options. The only place in this folder that knows the engines.</summary>
    public static TransportEngine For(ByteStreamTransportOptions options) => options.ResolvedEngine == ByteStreamEngine.Epoll
        ? new EpollEngine(EventLoopGroup.Get(options.EventLoops))
        : SocketEngine.Instance;

    /// <summary>Accepts from a socket that is listening.</summary>
    public abstract IAcceptor Accept(Socket listening, ByteStreamTransportOptions options);

    /// <summary>Connects to one address.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="options">The options of the connection.</param>
    /// <param name="neighbor">A channel whose event loop shall serve the new one too; null lets the engine choose.</param>
    /// <param name="cancellationToken">Cancels the attempt.</param>
    /// <exception cref="SocketException">The connection failed.</exception>
    public abstract Task<SocketByteChannel> ConnectAsync(
        EndPoint endPoint, ByteStreamConnectOptions options, ByteChannel? neighbor, CancellationToken cancellationToken);
}

/// <summary>Accepts connections from a listening socket, one at a time.</summary>
internal interface IAcceptor : IDisposable
{
    /// <summary>The threads that blocking handlers use, where they leave none for the next connection's handler; else 0.</summary>
    int BlockingThreads => 0;

    /// <summary>The next connection; null if the client has disconnected.</summary>
    /// <exception cref="SocketException">The accept failed; the listener continues.</exception>
    /// <exception cref="ObjectDisposedException">The acceptor was disposed.</exception>
    /// <exception cref="OperationCanceledException">The token fired.</exception>
    ValueTask<SocketByteChannel?> AcceptAsync(CancellationToken cancellationToken);
}

using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using ByteStreams.Connections;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Memory;
using ByteStreams.Transport.Unix;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <summary>The front door: starts servers, opens connections, makes pairs. Source: the functions of asyncio's Streams.</summary>
/// <example>
/// <code>
/// await using var server = await ByteStream.StartServerAsync(async (reader, writer) =&gt;
/// {
///     await foreach (byte[] line in reader)
///     {
///         writer.Write(line);
///         await writer.DrainAsync();
///     }
/// }, "127.0.0.1", 7007);
/// await server.ServeForeverAsync();
/// </code>
/// </example>
public static partial class ByteStream
{
    /// <summary>Starts a TCP server. Source: <c>asyncio.start_server</c>.</summary>
    /// <param name="clientConnected">
    /// Called for each client, in parallel for different ones; when it returns, everything written is delivered and the connection closed. A
    /// callback of two arguments has its waiting reads cancelled when the server stops, unless they are given a token.
    /// </param>
    /// <param name="host">A name or an address; null or empty is all interfaces, both families.</param>
    /// <param name="port">0 to 65535; 0 takes a free one, see <see cref="ByteStreamServer.EndPoints"/>.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>The server, accepting clients unless <see cref="ByteStreamServerOptions.StartServing"/> is false.</returns>
    /// <exception cref="AddressInUseException">The address is in use; the message names it.</exception>
    /// <exception cref="IOException">The address cannot be bound for another cause, which the message names with it.</exception>
    [OverloadResolutionPriority(1)]
    public static Task<ByteStreamServer> StartServerAsync(
        ByteStreamDelegate clientConnected, string? host, int port, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(clientConnected, [host ?? string.Empty], port, options, cancellationToken);

    /// <inheritdoc cref="StartServerAsync(ByteStreamDelegate, string?, int, ByteStreamServerOptions?, CancellationToken)"/>
    [OverloadResolutionPriority(1)]
    public static Task<ByteStreamServer> StartServerAsync(
        Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, string? host, int port, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(CallbackAdapter.Adapt(clientConnected), host, port, options, cancellationToken);

    /// <summary>Starts a TCP server on several hosts, one listener for each of their addresses.</summary>
    /// <param name="clientConnected">
    /// Called for each client, in parallel for different ones; when it returns, everything written is delivered and the connection closed. A
    /// callback of two arguments has its waiting reads cancelled when the server stops, unless they are given a token.
    /// </param>
    /// <param name="hosts">Names or addresses; duplicates are dropped.</param>
    /// <param name="port">0 to 65535; 0 takes a free one for each listener.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>The server.</returns>
    /// <exception cref="AddressInUseException">An address is in use; those bound before are closed again.</exception>
    /// <exception cref="IOException">An address cannot be bound for another cause; those bound before are closed again.</exception>
    public static async Task<ByteStreamServer> StartServerAsync(
        ByteStreamDelegate clientConnected, IReadOnlyList<string> hosts, int port, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(hosts);
        options ??= new ByteStreamServerOptions();
        IReadOnlyList<EndPoint> endPoints = await HostAddresses
            .ForListeningAsync(hosts, port, options, cancellationToken).ConfigureAwait(false);
        return await ByteStreamServer.StartAsync(clientConnected, endPoints, [], options, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc cref="StartServerAsync(ByteStreamDelegate, IReadOnlyList{string}, int, ByteStreamServerOptions?, CancellationToken)"/>
    public static Task<ByteStreamServer> StartServerAsync(
        Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, IReadOnlyList<string> hosts, int port, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(CallbackAdapter.Adapt(clientConnected), hosts, port, options, cancellationToken);

    /// <summary>Starts a server on an endpoint: <see cref="IPEndPoint"/>, <see cref="UnixDomainSocketEndPoint"/> or <see cref="InMemoryEndPoint"/>.</summary>
    /// <param name="clientConnected">
    /// Called for each client, in parallel for different ones; when it returns, everything written is delivered and the connection closed. A
    /// callback of two arguments has its waiting reads cancelled when the server stops, unless they are given a token.
    /// </param>
    /// <param name="endPoint">Where to listen.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>The server.</returns>
    /// <exception cref="AddressInUseException">The address is in use; the message names it.</exception>
    /// <exception cref="IOException">The address cannot be bound for another cause, which the message names with it.</exception>
    public static Task<ByteStreamServer> StartServerAsync(
        ByteStreamDelegate clientConnected, EndPoint endPoint, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        return ByteStreamServer.StartAsync(clientConnected, [endPoint], [], options ?? new(), cancellationToken);
    }

    /// <inheritdoc cref="StartServerAsync(ByteStreamDelegate, EndPoint, ByteStreamServerOptions?, CancellationToken)"/>
    public static Task<ByteStreamServer> StartServerAsync(
        Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, EndPoint endPoint, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(CallbackAdapter.Adapt(clientConnected), endPoint, options, cancellationToken);

    /// <summary>Starts a server on a socket that is bound already, as systemd hands one over. It is closed with the server; its file is not removed.</summary>
    /// <param name="clientConnected">
    /// Called for each client, in parallel for different ones; when it returns, everything written is delivered and the connection closed. A
    /// callback of two arguments has its waiting reads cancelled when the server stops, unless they are given a token.
    /// </param>
    /// <param name="socket">A bound stream socket, listening or not.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>The server.</returns>
    public static Task<ByteStreamServer> StartServerAsync(
        ByteStreamDelegate clientConnected, Socket socket, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(socket);
        return ByteStreamServer.StartAsync(clientConnected, [], [socket], options ?? new(), cancellationToken);
    }

    /// <inheritdoc cref="StartServerAsync(ByteStreamDelegate, Socket, ByteStreamServerOptions?, CancellationToken)"/>
    public static Task<ByteStreamServer> StartServerAsync(
        Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, Socket socket, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(CallbackAdapter.Adapt(clientConnected), socket, options, cancellationToken);

    /// <summary>Starts a server on a Unix socket. Source: <c>asyncio.start_unix_server</c>.</summary>
    /// <param name="clientConnected">
    /// Called for each client, in parallel for different ones; when it returns, everything written is delivered and the connection closed. A
    /// callback of two arguments has its waiting reads cancelled when the server stops, unless they are given a token.
    /// </param>
    /// <param name="path">A path, at most 107 bytes on Linux, or <c>@name</c> in Linux' abstract namespace.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>The server.</returns>
    /// <exception cref="AddressInUseException">A server listens on the path, or a file that is no socket has it.</exception>
    /// <exception cref="IOException">The path cannot be bound: no such directory, or no permission; the message says which.</exception>
    /// <exception cref="ArgumentException">The path is too long.</exception>
    public static Task<ByteStreamServer> StartUnixServerAsync(
        ByteStreamDelegate clientConnected, string path, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartServerAsync(clientConnected, UnixSocketPath.ToEndPoint(path), options, cancellationToken);

    /// <inheritdoc cref="StartUnixServerAsync(ByteStreamDelegate, string, ByteStreamServerOptions?, CancellationToken)"/>
    public static Task<ByteStreamServer> StartUnixServerAsync(
        Func<ByteStreamReader, ByteStreamWriter, Task> clientConnected, string path, ByteStreamServerOptions? options = null, CancellationToken cancellationToken = default) =>
        StartUnixServerAsync(CallbackAdapter.Adapt(clientConnected), path, options, cancellationToken);

    /// <summary>Opens a TCP connection. Source: <c>asyncio.open_connection</c>; the addresses of a name are tried as RFC 8305 says.</summary>
    /// <param name="host">A name or an address.</param>
    /// <param name="port">1 to 65535.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the attempt and closes every socket that it opened.</param>
    /// <returns>The connection, which deconstructs into reader and writer.</returns>
    /// <exception cref="SocketException">
    /// The only address failed; or, with <see cref="SocketError.TooManyOpenSockets"/>, nearly all descriptors of the process were in use for
    /// a second.
    /// </exception>
    /// <exception cref="IOException">All of several addresses failed; the message lists them, the inner exception has each cause.</exception>
    /// <exception cref="TimeoutException">The connect timeout passed.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The TLS handshake failed or took too long.</exception>
    public static Task<ByteStreamConnection> OpenConnectionAsync(
        string host, int port, ByteStreamClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        return ByteStreamClient.ConnectAsync(new DnsEndPoint(host, port), options ?? new(), cancellationToken);
    }

    /// <summary>Opens a connection to an endpoint: <see cref="IPEndPoint"/>, <see cref="DnsEndPoint"/>, <see cref="UnixDomainSocketEndPoint"/> or <see cref="InMemoryEndPoint"/>.</summary>
    /// <param name="endPoint">Where to connect to.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the attempt and closes every socket that it opened.</param>
    /// <returns>The connection.</returns>
    /// <exception cref="SocketException">The connection failed.</exception>
    public static Task<ByteStreamConnection> OpenConnectionAsync(
        EndPoint endPoint, ByteStreamClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(endPoint);
        return ByteStreamClient.ConnectAsync(endPoint, options ?? new(), cancellationToken);
    }

    /// <summary>Makes the pair over a socket that is connected already. The connection owns it from now on.</summary>
    /// <param name="socket">A connected stream socket.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the TLS handshake, if there is one.</param>
    /// <returns>The connection.</returns>
    public static Task<ByteStreamConnection> OpenConnectionAsync(
        Socket socket, ByteStreamClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(socket);
        return ByteStreamClient.AdoptAsync(socket, options ?? new(), cancellationToken);
    }

    /// <summary>Opens a connection to a Unix socket. Source: <c>asyncio.open_unix_connection</c>.</summary>
    /// <param name="path">A path, or <c>@name</c> in Linux' abstract namespace.</param>
    /// <param name="options">Null takes every default.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <returns>The connection.</returns>
    /// <exception cref="SocketException">The connection failed.</exception>
    public static Task<ByteStreamConnection> OpenUnixConnectionAsync(
        string path, ByteStreamClientOptions? options = null, CancellationToken cancellationToken = default) =>
        OpenConnectionAsync(UnixSocketPath.ToEndPoint(path), options, cancellationToken);

    /// <summary>Makes two connections that are each other's peer, in memory: for tests, and for parts of one program.</summary>
    /// <param name="options">For both; null takes every default. TLS is not part of it.</param>
    /// <returns>The two ends.</returns>
    public static (ByteStreamConnection First, ByteStreamConnection Second) CreatePair(ByteStreamClientOptions? options = null)
    {
        options = (options ?? new ByteStreamClientOptions()).Snapshot();
        string openedAt = AbandonedGuard.Caller();
        (InMemoryChannel first, InMemoryChannel second) = InMemoryChannel.CreatePair();
        return (End(first, "first"), End(second, "second"));

        ByteStreamConnection End(InMemoryChannel channel, string name) => new(
            new ChannelConnection(channel, new InMemoryEndPoint(name), new InMemoryEndPoint(name == "first" ? "second" : "first"), options),
            options.Limit,
            options.LoggerFactory.CreateLogger("ByteStreams.Client"),
            openedAt);
    }
}

using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using ByteStreams.Client;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Memory;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>Opens connections: resolves the host, races its addresses, performs the TLS handshake, and creates the reader and the writer.</summary>
internal static class ByteStreamClient
{
    public static async Task<ByteStreamConnection> ConnectAsync(
        EndPoint endPoint, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        options = options.Snapshot();
        string openedAt = AbandonedGuard.Caller();
        ConnectionContext context = await OpenAsync(endPoint, options, cancellationToken).ConfigureAwait(false);
        return await CreateConnectionAsync(context, (endPoint as DnsEndPoint)?.Host, options, openedAt, cancellationToken).ConfigureAwait(false);
    }

    public static Task<ByteStreamConnection> AdoptAsync(Socket socket, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        options = options.Snapshot();
        if (!socket.Connected)
        {
            throw new ArgumentException("The socket is not connected; connect it first.", nameof(socket));
        }

        SocketOptions.SetBuffers(socket, options);
        SocketOptions.Apply(socket, options);
        // A SocketChannel with every engine, because the runtime's event loop may have registered this socket already.
        var channel = new SocketChannel(socket, GetPeer(socket));
        return CreateConnectionAsync(new ChannelConnection(channel, socket.LocalEndPoint, GetPeer(socket), options), null, options, AbandonedGuard.Caller(), cancellationToken);
    }

    /// <summary>Opens the transport connection, without TLS.</summary>
    public static async ValueTask<ConnectionContext> OpenAsync(
        EndPoint endPoint, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(options.ConnectTimeout, options.TimeProvider);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            return endPoint is InMemoryEndPoint memory
                ? await InMemoryListener.ConnectAsync(memory, options, linked.Token).ConfigureAwait(false)
                : await OpenAsync(
                    endPoint is DnsEndPoint dns ? await CandidatesAsync(dns, options, linked.Token).ConfigureAwait(false) : [endPoint], options, linked.Token)
                    .ConfigureAwait(false);
        }
        catch (OperationCanceledException late) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"Connect to {endPoint} timed out after {options.ConnectTimeout.TotalSeconds:0.###} s (ConnectTimeout).", late);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The caller recognises its cancellation by its own token, not by the linked one.
            throw new OperationCanceledException(cancellationToken);
        }
    }

    private static async ValueTask<ConnectionContext> OpenAsync(
        IReadOnlyList<EndPoint> candidates, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        try
        {
            return await OpenOnLoopAsync(null, candidates, options, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException error) when (candidates is [IPEndPoint address])
        {
            // As HttpClient does. Errors of several addresses and of Unix sockets contain the address already.
            throw new SocketException((int)error.SocketErrorCode, $"{error.Message} ({address})");
        }
    }

    /// <summary>
    /// Opens the transport connection to the first address that accepts, without a timeout. The event loop of <paramref name="sibling"/> also
    /// serves the new connection, so that a relay forwards bytes between the two without a thread switch.
    /// </summary>
    public static async ValueTask<ConnectionContext> OpenOnLoopAsync(
        ConnectionContext? sibling, IReadOnlyList<EndPoint> candidates, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        TransportEngine engine = TransportEngine.For(options);
        ByteChannel? neighbor = (sibling as ChannelConnection)?.Channel;
        SocketByteChannel channel = candidates.Count == 1
            ? await engine.ConnectAsync(candidates[0], options, neighbor, cancellationToken).ConfigureAwait(false)
            : await HappyEyeballs
                .ConnectAsync(candidates, (candidate, token) => engine.ConnectAsync(candidate, options, neighbor, token), options, cancellationToken)
                .ConfigureAwait(false);
        return new ChannelConnection(channel, null, candidates[0] as UnixDomainSocketEndPoint, options);
    }

    /// <summary>Sends a PROXY header on a new connection, in one write. Disposes the connection on failure.</summary>
    public static async Task SendAsync(ConnectionContext context, ProxyHeader header, CancellationToken cancellationToken)
    {
        try
        {
            header.WriteTo(context.Transport.Output);
            FlushResult sent = await context.Transport.Output.FlushAsync(cancellationToken).ConfigureAwait(false);
            if (sent.IsCompleted)
            {
                throw IOutputFailure.Of(context.Transport.Output);
            }
        }
        catch
        {
            context.Abort();
            await context.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Performs the TLS handshake on a new connection. Disposes the connection on failure.</summary>
    public static async Task SecureAsync(
        ConnectionContext context, SslClientAuthenticationOptions tls, string? host, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        SslClientAuthenticationOptions withHost = WithHost(tls, options.ServerHostName, host);
        try
        {
            (await TlsHandshake.AuthenticateAsync(context, context.Transport, withHost, withHost, ((ITlsSettingsSource)options).TlsSettings, handshake: null, cancellationToken)
                .ConfigureAwait(false)).Install();
        }
        catch (Exception error)
        {
            // A clean close delivers the alert of a rejection; after a cancellation there is none.
            if (error is OperationCanceledException || error.InnerException is OperationCanceledException)
            {
                context.Abort();
            }
            else
            {
                context.Features.Get<IByteStreamTransportFeature>()?.Close(ConnectionCloseReason.TlsHandshakeFailed);
            }

            await context.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private static async Task<IReadOnlyList<EndPoint>> CandidatesAsync(
        DnsEndPoint dns, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        AddressFamily family = options.AddressFamily == AddressFamily.Unspecified && options.LocalEndPoint is IPEndPoint local
            ? local.AddressFamily
            : options.AddressFamily;
        return [.. (await HostAddresses.ForConnectingAsync(dns.Host, family, cancellationToken).ConfigureAwait(false))
            .Select(address => new IPEndPoint(address, dns.Port))];
    }

    /// <summary>Returns the peer's address; null if the peer has reset the connection, which the first read or drain reports.</summary>
    private static EndPoint? GetPeer(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint;
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static async Task<ByteStreamConnection> CreateConnectionAsync(
        ConnectionContext context, string? host, ByteStreamClientOptions options, string openedAt, CancellationToken cancellationToken)
    {
        if (options.ProxyHeader is ProxyHeader header)
        {
            await SendAsync(context, header, cancellationToken).ConfigureAwait(false);
        }

        if (options.Tls is SslClientAuthenticationOptions tls)
        {
            await SecureAsync(context, tls, host, options, cancellationToken).ConfigureAwait(false);
        }

        OutboundHandover? middleware = options.Pipeline is OutboundPipeline pipeline
            ? await pipeline.BeginAsync(context, cancellationToken).ConfigureAwait(false)
            : null;
        ILogger logger = options.LoggerFactory.CreateLogger("ByteStreams.Client");
        return new ByteStreamConnection(context, options.Limit, logger, openedAt) { Middleware = middleware };
    }

    /// <summary>Returns the caller's options with the server name that the certificate must have.</summary>
    private static SslClientAuthenticationOptions WithHost(SslClientAuthenticationOptions tls, string? serverHostName, string? host)
    {
        string? name = serverHostName ?? (string.IsNullOrEmpty(tls.TargetHost) ? host : tls.TargetHost);
        if (name == tls.TargetHost)
        {
            return tls;
        }

        SslClientAuthenticationOptions withHost = TlsOptionsCopy.From(tls);
        withHost.TargetHost = name;
        return withHost;
    }
}

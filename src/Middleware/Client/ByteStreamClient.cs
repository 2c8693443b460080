using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Memory;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>Opens connections: resolves, races the addresses, speaks TLS, makes the pair.</summary>
internal static class ByteStreamClient
{
    public static async Task<ByteStreamConnection> ConnectAsync(
        EndPoint endPoint, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        options = options.Snapshot();
        string openedAt = AbandonedGuard.Caller();
        ConnectionContext context = await OpenAsync(endPoint, options, cancellationToken).ConfigureAwait(false);
        return await MakePairAsync(context, (endPoint as DnsEndPoint)?.Host, options, openedAt, cancellationToken).ConfigureAwait(false);
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
        // Whatever the engine: the runtime's event loop may know this socket already, and would be told of everything as well.
        var channel = new SocketChannel(socket, Peer(socket));
        return MakePairAsync(new ChannelConnection(channel, socket.LocalEndPoint, Peer(socket), options), null, options, AbandonedGuard.Caller(), cancellationToken);
    }

    /// <summary>Opens the transport's connection, without TLS.</summary>
    public static async ValueTask<ConnectionContext> OpenAsync(
        EndPoint endPoint, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(options.ConnectTimeout, options.TimeProvider);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            return endPoint is InMemoryEndPoint memory
                ? await InMemoryListener.ConnectAsync(memory, options, both.Token).ConfigureAwait(false)
                : await OpenAsync(
                    endPoint is DnsEndPoint dns ? await CandidatesAsync(dns, options, both.Token).ConfigureAwait(false) : [endPoint], options, both.Token)
                    .ConfigureAwait(false);
        }
        catch (OperationCanceledException late) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"{endPoint} did not answer within the connect timeout of {options.ConnectTimeout.TotalSeconds:0.###} s.", late);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // With the caller's own token, by which it recognises its cancellation; not with the linked one.
            throw new OperationCanceledException(cancellationToken);
        }
    }

    private static async ValueTask<ConnectionContext> OpenAsync(
        IReadOnlyList<EndPoint> candidates, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        try
        {
            return await OpenBesideAsync(null, candidates, options, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException error) when (candidates is [IPEndPoint address])
        {
            // As HttpClient writes it. Errors of several addresses, and of Unix sockets, name them already.
            throw new SocketException((int)error.SocketErrorCode, $"{error.Message} ({address})");
        }
    }

    /// <summary>
    /// Opens the transport's connection to the first of several addresses that answers; without a timeout of its own. Where there is a
    /// connection that it belongs to, both are served by the same event loop: what one brings goes to the other without a change of threads.
    /// </summary>
    public static async ValueTask<ConnectionContext> OpenBesideAsync(
        ConnectionContext? beside, IReadOnlyList<EndPoint> candidates, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        TransportEngine engine = TransportEngine.For(options);
        ByteChannel? neighbor = (beside as ChannelConnection)?.Channel;
        SocketByteChannel channel = candidates.Count == 1
            ? await engine.ConnectAsync(candidates[0], options, neighbor, cancellationToken).ConfigureAwait(false)
            : await HappyEyeballs
                .ConnectAsync(candidates, (candidate, token) => engine.ConnectAsync(candidate, options, neighbor, token), options, cancellationToken)
                .ConfigureAwait(false);
        return new ChannelConnection(channel, null, candidates[0] as UnixDomainSocketEndPoint, options);
    }

    /// <summary>Sends a PROXY header on a connection that was just opened, in one write. One that fails is disposed.</summary>
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

    /// <summary>Speaks TLS on a connection that was opened. One that fails is disposed.</summary>
    public static async Task SecureAsync(
        ConnectionContext context, SslClientAuthenticationOptions tls, string? host, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        SslClientAuthenticationOptions withHost = WithHost(tls, options.ServerHostName, host);
        try
        {
            (await TlsTransport.AuthenticateAsync(context, context.Transport, withHost, withHost, TlsSettings.For(options), attempt: null, cancellationToken)
                .ConfigureAwait(false)).Install();
        }
        catch (Exception error)
        {
            // Only a refusal has an alert to deliver, which a clean close does; for the rest nobody waits.
            if (error is OperationCanceledException || error.InnerException is OperationCanceledException)
            {
                context.Abort();
            }
            else
            {
                context.Features.Get<IByteStreamTransportFeature>()?.Close(ConnectionEndReason.TlsHandshakeFailed);
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

    /// <summary>The peer's address; null where it has reset the connection already, which the first read or drain tells.</summary>
    private static EndPoint? Peer(Socket socket)
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

    private static async Task<ByteStreamConnection> MakePairAsync(
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

        ILogger logger = options.LoggerFactory.CreateLogger("ByteStreams.Client");
        return new ByteStreamConnection(context, options.Limit, logger, openedAt);
    }

    /// <summary>The caller's options with the name to check.</summary>
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

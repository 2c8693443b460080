using System.Net;
using System.Net.WebSockets;
using ByteStreams.Connections;
using ByteStreams.Hosting;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Web;

/// <summary>Serves requests of one route as connections.</summary>
internal sealed class WebEndpoint
{
    private readonly ByteStreamWebOptions _options;
    private readonly ByteStreamServerOptions _server;
    private readonly ConnectionDelegate _pipeline;
    private readonly bool _completesHandler;
    private readonly CancellationToken _stopping;
    private readonly ILogger _logger;

    public WebEndpoint(ByteStreamDelegate handler, ByteStreamWebOptions options, IServiceProvider services)
    {
        _options = options;
        _server = options.Server.Snapshot();
        _logger = _server.LoggerFactory.CreateLogger("ByteStreams.Connection");
        var adapter = new ByteStreamConnectionHandler(ClusterGate.Add(handler, services), _server.Limit, _server.LoggerFactory, _server.Name);
        _pipeline = _server.Build(adapter.OnConnectedAsync, out IReadOnlyList<IDisposable> owned);
        _completesHandler = ConnectionMiddleware.LeadsToHandler(_pipeline);
        IHostApplicationLifetime lifetime = services.GetRequiredService<IHostApplicationLifetime>();
        _stopping = lifetime.ApplicationStopping;
        lifetime.ApplicationStopped.Register(() =>
        {
            foreach (IDisposable resource in owned)
            {
                resource.Dispose();
            }
        });
    }

    public async Task ServeAsync(HttpContext context)
    {
        if (context.WebSockets.IsWebSocketRequest)
        {
            await ServeWebSocketAsync(context).ConfigureAwait(false);
        }
        else if (context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true } upgrade && _options.UpgradeToken is string token
            && string.Equals(context.Request.Headers.Upgrade, token, StringComparison.OrdinalIgnoreCase))
        {
            context.Response.Headers.Upgrade = token;
            Stream stream = await upgrade.UpgradeAsync().ConfigureAwait(false);
            await ServeAsync(context, new HttpBodyChannel(stream, stream, null, context)).ConfigureAwait(false);
        }
        else if (_options.AcceptPost && HttpMethods.IsPost(context.Request.Method))
        {
            await ServePostAsync(context).ConfigureAwait(false);
        }
        else
        {
            context.Response.StatusCode = StatusCodes.Status426UpgradeRequired;
            context.Response.Headers.Upgrade = _options.UpgradeToken is string offered ? $"websocket, {offered}" : "websocket";
        }
    }

    private async Task ServeWebSocketAsync(HttpContext context)
    {
        string? protocol = _options.SubProtocols.FirstOrDefault(context.WebSockets.WebSocketRequestedProtocols.Contains);
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync(protocol).ConfigureAwait(false);
        var channel = new WebSocketChannel(socket, _options.AcceptText, context);
        await ServeAsync(context, channel).ConfigureAwait(false);
        await channel.LingerAsync(_server.LingerTimeout, _server.TimeProvider).ConfigureAwait(false);
    }

    private async Task ServePostAsync(HttpContext context)
    {
        // A connection may idle in both directions; UseTimeouts limits that.
        context.Features.Get<IHttpMinRequestBodyDataRateFeature>()?.MinDataRate = null;
        context.Features.Get<IHttpMinResponseDataRateFeature>()?.MinDataRate = null;
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            size.MaxRequestBodySize = null;
        }

        context.Response.ContentType = "application/octet-stream";
        await context.Response.StartAsync().ConfigureAwait(false);
        await context.Response.Body.FlushAsync().ConfigureAwait(false);
        await ServeAsync(context, new HttpBodyChannel(context.Request.Body, context.Response.Body, context.Response.CompleteAsync, context))
            .ConfigureAwait(false);
    }

    private async Task ServeAsync(HttpContext context, WebChannel channel)
    {
        ConnectionInfo info = context.Connection;
        var connection = new ChannelConnection(channel, ToEndPoint(info.LocalIpAddress, info.LocalPort), ToEndPoint(info.RemoteIpAddress, info.RemotePort), _server);
        connection.Features.Set<IConnectionLifetimeNotificationFeature>(new StopNotification());
        ConnectionState state = ConnectionState.Create(connection, _completesHandler);
        state.TakeNotification(connection);
        using CancellationTokenRegistration stop = _stopping.UnsafeRegister(static (request, _) => ((Action)request!)(), () => state.RequestClose(_logger));
        // A reset is noticed although the handler does not read.
        using CancellationTokenRegistration aborted = context.RequestAborted.UnsafeRegister(
            static lost => OnAborted((ChannelConnection)lost!), connection);
        try
        {
            await ConnectionRunner.RunAsync(state, _pipeline).ConfigureAwait(false);
        }
        catch
        {
            connection.Abort();
            throw;
        }
        finally
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            // The linger: a receive that is cancelled aborts a WebSocket, and with it the Close frame and the replies before it.
            await connection.WaitClosedAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await channel.CloseAsync().ConfigureAwait(false);
        }
    }

    private static void OnAborted(ChannelConnection connection)
    {
        if (((WebChannel)connection.Channel).OnAborted())
        {
            ((IConnectionProgress)connection).LookForLoss();
        }
    }

    private static IPEndPoint? ToEndPoint(IPAddress? address, int port) => address is null ? null : new IPEndPoint(address, port);
}

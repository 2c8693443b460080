using System.Net;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace ByteStreams.Http.Tests;

/// <summary>WebSockets over the application's Kestrel.</summary>
public class WebSocketTests : HttpTest
{
    private readonly TaskCompletionSource _started = Signal();
    private readonly TaskCompletionSource _aborted = Signal();

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task WebSocket_MessagesOfManySizes_AreEchoed(TestedTransport transport, Endpoint endpoint) =>
        await EchoAsync(transport, endpoint, HttpVersion.Version11);

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task WebSocket_OverHttp2_IsEchoed(TestedTransport transport, Endpoint endpoint) =>
        await EchoAsync(transport, endpoint, HttpVersion.Version20);

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    public async Task RequestAborted_WebSocketVanishesWithoutAPendingReceive_Fires(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web =>
        {
            web.UseWebSockets();
            web.Map("/", async context =>
            {
                using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
                using CancellationTokenRegistration registration = context.RequestAborted.UnsafeRegister(_ => _aborted.SetResult(), null);
                _started.SetResult();
                await _aborted.Task.WaitAsync(Soon);
            });
        });
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 101 ", await client.ReadHeadAsync(), StringComparison.Ordinal);
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(departure);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    public async Task ReceiveAsync_ClientVanishes_Throws(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        var received = Signal<Exception?>();
        await using Application application = await Application.StartAsync(transport, endpoint, web =>
        {
            web.UseWebSockets();
            web.Map("/", async context =>
            {
                using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
                _started.SetResult();
                received.SetResult(await Record.ExceptionAsync(async () => await ReceiveAsync(socket)));
            });
        });
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
        await client.ReadHeadAsync();
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(departure);

        WebSocketException error = Assert.IsType<WebSocketException>(await received.Task.WaitAsync(Soon));
        Assert.Equal(WebSocketError.ConnectionClosedPrematurely, error.WebSocketErrorCode);
        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    private async Task EchoAsync(TestedTransport transport, Endpoint endpoint, Version version)
    {
        await using Application application = await Application.StartAsync(
            transport,
            endpoint,
            web =>
            {
                web.UseWebSockets();
                web.Map("/", ServeAsync);
            },
            listen => listen.Protocols = version.Major == 1 ? HttpProtocols.Http1 : HttpProtocols.Http2,
            tls: tls => tls.ApplicationProtocols.Add(version.Major == 1 ? "http/1.1" : "h2"));
        using HttpClient http = application.CreateClient(version);
        using var client = new ClientWebSocket();
        client.Options.HttpVersion = version;
        client.Options.HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact;
        await client.ConnectAsync(new Uri(application.IsTls ? "wss://localhost/" : "ws://localhost/"), http, Soon);

        foreach (int size in (int[])[0, 1, 125, 126, 65_535, 65_536, 1_000_000])
        {
            var sent = new byte[size];
            new Random(size).NextBytes(sent);
            await client.SendAsync(sent, WebSocketMessageType.Binary, true, Soon);
            Assert.Equal(sent, await ReceiveAsync(client));
        }

        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, "done", Soon);
        Assert.Equal(WebSocketState.Closed, client.State);
    }

    private async Task ServeAsync(HttpContext context)
    {
        using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync();
        while (true)
        {
            byte[] message = await ReceiveAsync(socket);
            if (socket.CloseStatus is WebSocketCloseStatus status)
            {
                await socket.CloseAsync(status, socket.CloseStatusDescription, Soon);
                return;
            }

            await socket.SendAsync(message, WebSocketMessageType.Binary, true, Soon);
        }
    }

    private async Task<byte[]> ReceiveAsync(WebSocket socket)
    {
        using var message = new MemoryStream();
        var some = new byte[10_000];
        WebSocketReceiveResult result;
        do
        {
            result = await socket.ReceiveAsync(some, Soon);
            message.Write(some, 0, result.Count);
        }
        while (!result.EndOfMessage);
        return message.ToArray();
    }
}

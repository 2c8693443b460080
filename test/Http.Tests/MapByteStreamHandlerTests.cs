using System.Net;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace ByteStreams.Http.Tests;

/// <summary>A handler of the application's routing.</summary>
public class MapByteStreamHandlerTests : HttpTest
{
    private readonly TaskCompletionSource<bool> _canWriteEof = Signal<bool>();
    private readonly TaskCompletionSource<Exception?> _failure = Signal<Exception?>();

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task WebSocket_BytesInMessages_ReachTheHandlerAsAStream(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using ClientWebSocket client = await ConnectAsync(application, HttpVersion.Version11);

        await client.SendAsync("he"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);
        await client.SendAsync("llo\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);

        Assert.Equal("hello\n", await ReceiveAsync(client, 6));
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Soon);
        Assert.Equal(WebSocketCloseStatus.NormalClosure, client.CloseStatus);
        Assert.False(await _canWriteEof.Task.WaitAsync(Soon));
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task WebSocket_ExtendedConnect_ReachesTheHandler(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http2);
        using ClientWebSocket client = await ConnectAsync(application, HttpVersion.Version20);

        await client.SendAsync("hello\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);

        Assert.Equal("hello\n", await ReceiveAsync(client, 6));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task WebSocket_TextMessage_IsRefusedWith1003(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using ClientWebSocket client = await ConnectAsync(application, HttpVersion.Version11);

        await client.SendAsync("hello\n"u8.ToArray(), WebSocketMessageType.Text, true, Soon);

        WebSocketReceiveResult received = await client.ReceiveAsync(new byte[10], Soon);
        Assert.Equal(WebSocketCloseStatus.InvalidMessageType, received.CloseStatus);
        Assert.Contains("text message", (await _failure.Task.WaitAsync(Soon))!.Message, StringComparison.Ordinal);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task WebSocket_TextMessageWithAcceptText_IsReceived(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1, options => options.AcceptText = true);
        using ClientWebSocket client = await ConnectAsync(application, HttpVersion.Version11);

        await client.SendAsync("hello\n"u8.ToArray(), WebSocketMessageType.Text, true, Soon);

        Assert.Equal("hello\n", await ReceiveAsync(client, 6));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task WebSocket_SubProtocols_FirstOfTheServerThatIsOfferedIsChosen(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1, options =>
        {
            options.SubProtocols.Add("b");
            options.SubProtocols.Add("a");
        });

        using ClientWebSocket client = await ConnectAsync(application, HttpVersion.Version11, "a", "b");

        Assert.Equal("b", client.SubProtocol);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task WebSocket_ClientAborts_IsAReset(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using ClientWebSocket client = await ConnectAsync(application, HttpVersion.Version11);
        await client.SendAsync("hello\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);
        await ReceiveAsync(client, 6);

        client.Abort();

        Assert.IsType<Microsoft.AspNetCore.Connections.ConnectionResetException>(await _failure.Task.WaitAsync(Soon));
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Post_Http2EndStream_IsTheEndInBothDirections(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http2);
        using HttpClient client = application.CreateClient(HttpVersion.Version20);

        using HttpResponseMessage response = await client.PostAsync("/bytes", new ByteArrayContent("one\ntwo\n"u8.ToArray()), Soon);

        Assert.Equal("one\ntwo\n", await response.Content.ReadAsStringAsync(Soon));
        Assert.True(await _canWriteEof.Task.WaitAsync(Soon));
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Upgrade_ConfiguredToken_SwitchesToBytes(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1, options => options.UpgradeToken = "bytes");
        using RawClient client = await ConnectAsync(application);

        await client.SendAsync("GET /bytes HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n");

        string head = await client.ReadHeadAsync();
        Assert.StartsWith("HTTP/1.1 101 ", head, StringComparison.Ordinal);
        Assert.False(await _canWriteEof.Task.WaitAsync(Soon));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Get_WithoutUpgrade_Is426(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using HttpClient client = application.CreateClient();

        using HttpResponseMessage response = await client.GetAsync("/bytes", Soon);

        Assert.Equal(HttpStatusCode.UpgradeRequired, response.StatusCode);
        Assert.False(_canWriteEof.Task.IsCompleted);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Stop_200OpenWebSockets_NoReplyIsLost(TestedTransport transport)
    {
        await using Application application = await Application.StartAsync(
            transport,
            Endpoint.Tcp,
            web => web.MapByteStreamHandler("/bytes", async (reader, writer, stopping) =>
            {
                await reader.ReadLineAsync(Soon);
                await Task.Delay(Timeout.Infinite, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                writer.Write("reply\n"u8);
            }),
            listen => listen.Protocols = HttpProtocols.Http1);
        var clients = new List<ClientWebSocket>();
        for (int i = 0; i < 200; i++)
        {
            clients.Add(await ConnectAsync(application, HttpVersion.Version11));
            await clients[i].SendAsync("request\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);
        }

        Task stopped = application.Web.StopAsync(Soon);

        foreach (ClientWebSocket client in clients)
        {
            Assert.Equal("reply\n", await ReceiveAsync(client, 6));
            client.Dispose();
        }

        await stopped;
        Assert.Empty(application.Warnings);
    }

    private Task<Application> StartAsync(TestedTransport transport, HttpProtocols protocols, Action<ByteStreamWebOptions>? configure = null) =>
        Application.StartAsync(
            transport, Endpoint.Tcp, web => web.MapByteStreamHandler("/bytes", EchoAsync, configure), listen => listen.Protocols = protocols);

    private async Task EchoAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        _canWriteEof.TrySetResult(writer.CanWriteEof);
        try
        {
            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
            {
                writer.Write(line);
                await writer.DrainAsync(stopping);
            }
        }
        catch (Exception error)
        {
            _failure.TrySetResult(error);
            throw;
        }
    }

    private async Task<ClientWebSocket> ConnectAsync(Application application, Version version, params string[] protocols)
    {
        using HttpClient http = application.CreateClient(version);
        var client = new ClientWebSocket();
        client.Options.HttpVersion = version;
        client.Options.HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact;
        foreach (string protocol in protocols)
        {
            client.Options.AddSubProtocol(protocol);
        }

        await client.ConnectAsync(new Uri("ws://localhost/bytes"), http, Soon);
        return client;
    }

    private async Task<string> ReceiveAsync(ClientWebSocket client, int count)
    {
        var bytes = new byte[count];
        int received = 0;
        while (received < count)
        {
            WebSocketReceiveResult result = await client.ReceiveAsync(new ArraySegment<byte>(bytes, received, count - received), Soon);
            Assert.Equal(WebSocketMessageType.Binary, result.MessageType);
            received += result.Count;
        }

        return Encoding.UTF8.GetString(bytes);
    }
}

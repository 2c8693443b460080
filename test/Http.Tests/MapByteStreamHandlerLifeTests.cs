using System.Net;
using System.Net.WebSockets;
using System.Security.Claims;
using System.Text;
using Microsoft.AspNetCore.Authentication.BearerToken;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;

namespace ByteStreams.Http.Tests;

/// <summary>Who may reach a handler of the application's routing, how its connection ends, and what is reported of it.</summary>
public class MapByteStreamHandlerLifeTests : HttpTest
{
    private readonly TaskCompletionSource<Exception?> _failure = Signal<Exception?>();
    private readonly TaskCompletionSource<ConnectionSnapshot> _ended = Signal<ConnectionSnapshot>();
    private readonly TaskCompletionSource _echoed = Signal();
    private int _handlers;

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task HandlerClass_ConstructorWithAService_IsInjectedTheApplications(TestedTransport transport)
    {
        await using Application application = await Application.StartAsync(
            transport, Endpoint.Tcp, web => web.MapByteStreamHandler<Greeter>("/bytes"), configure: builder => builder.Services.AddSingleton(new Greeting("hello ")));
        using RawClient client = await ConnectAsync(application);

        await client.SendAsync("POST /bytes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nyou\n");

        await client.ReadHeadAsync();
        Assert.Equal("a\r\nhello you\n\r\n0\r\n\r\n", Encoding.Latin1.GetString(await client.ReadExactlyAsync(20)));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task RequireAuthorization_NoUser_Is401AndNoHandlerRuns(TestedTransport transport)
    {
        await using Application application = await StartWithAuthorizationAsync(transport, new ClaimsPrincipal());
        using HttpClient client = application.CreateClient();

        using HttpResponseMessage response = await client.PostAsync("/bytes", new ByteArrayContent("hello\n"u8.ToArray()), Soon);

        Assert.Equal((HttpStatusCode.Unauthorized, 0), (response.StatusCode, _handlers));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task RequireAuthorization_UserWithoutTheClaim_Is403AndNoHandlerRuns(TestedTransport transport)
    {
        await using Application application = await StartWithAuthorizationAsync(transport, new ClaimsPrincipal(new ClaimsIdentity("test")));
        using HttpClient client = application.CreateClient();

        using HttpResponseMessage response = await client.PostAsync("/bytes", new ByteArrayContent("hello\n"u8.ToArray()), Soon);

        Assert.Equal((HttpStatusCode.Forbidden, 0), (response.StatusCode, _handlers));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Close_ByThePeer_IsReportedAsSuch(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using var duration = new MetricCollector<double>(
            application.Web.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), "ByteStreams", "bytestreams.connection.duration");
        using ClientWebSocket client = await ConnectWebSocketAsync(application);
        await client.SendAsync("hello\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);
        await client.ReceiveAsync(new byte[6], Soon);
        ConnectionSnapshot active = Assert.Single(application.Web.Services.GetRequiredService<ByteStreamMonitor>().Connections());

        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Soon);

        ConnectionSnapshot ended = await _ended.Task.WaitAsync(Soon);
        Assert.Equal(("bytes", active.Id, ConnectionCloseReason.ClosedByPeer), (ended.Endpoint, ended.Id, ended.CloseReason));
        Assert.Equal((6, 6), (ended.BytesReceived, ended.BytesSent));
        await duration.WaitForMeasurementsAsync(1, Soon);
        IReadOnlyDictionary<string, object?> tags = Assert.Single(duration.GetMeasurementSnapshot()).Tags;
        Assert.Equal(("bytes", "closed_by_peer"), (tags["bytestreams.endpoint"], tags["bytestreams.close_reason"]));
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Close_ByTheHandler_IsReportedAsSuch(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using ClientWebSocket client = await ConnectWebSocketAsync(application);

        await client.SendAsync("quit\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);

        WebSocketReceiveResult received = await client.ReceiveAsync(new byte[6], Soon);
        Assert.Equal(WebSocketCloseStatus.NormalClosure, received.CloseStatus);
        await client.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, Soon);
        Assert.Equal(ConnectionCloseReason.ClosedLocally, (await _ended.Task.WaitAsync(Soon)).CloseReason);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Line_LongerThanTheLimit_IsLimitExceededAndAReset(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1, options => options.Server.Limit = 8);
        using ClientWebSocket client = await ConnectWebSocketAsync(application);

        await client.SendAsync("longer than eight\n"u8.ToArray(), WebSocketMessageType.Binary, true, Soon);

        await Assert.ThrowsAsync<WebSocketException>(() => client.ReceiveAsync(new byte[6], Soon));
        Assert.Equal(ConnectionCloseReason.LimitExceeded, (await _ended.Task.WaitAsync(Soon)).CloseReason);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Post_RstStream_IsAReset(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http2);
        using HttpClient client = application.CreateClient(HttpVersion.Version20);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/bytes")
        {
            Content = new EndlessContent("hello\n"u8.ToArray()),
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        using var cancelled = new CancellationTokenSource();
        Task<HttpResponseMessage> waiting = client.SendAsync(request, cancelled.Token);
        await _echoed.Task.WaitAsync(Soon);

        await cancelled.CancelAsync();

        Assert.IsType<ConnectionResetException>(await _failure.Task.WaitAsync(Soon));
        Assert.Equal(ConnectionCloseReason.ResetByPeer, (await _ended.Task.WaitAsync(Soon)).CloseReason);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Post_RstStreamWhileTheHandlerNeitherReadsNorWrites_EndsTheConnection(TestedTransport transport)
    {
        TaskCompletionSource isNoticed = Signal();
        await using Application application = await Application.StartAsync(
            transport,
            Endpoint.Tcp,
            web => web.MapByteStreamHandler("/bytes", async (reader, writer, stopping) =>
            {
                await reader.ReadLineAsync(stopping);
                _echoed.TrySetResult();
                await Patience.UntilAsync(() => writer.IsClosing);
                isNoticed.TrySetResult();
            }),
            listen => listen.Protocols = HttpProtocols.Http2);
        using HttpClient client = application.CreateClient(HttpVersion.Version20);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/bytes")
        {
            Content = new EndlessContent("hello\n"u8.ToArray()),
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        using var cancelled = new CancellationTokenSource();
        Task<HttpResponseMessage> waiting = client.SendAsync(request, cancelled.Token);
        await _echoed.Task.WaitAsync(Soon);

        await cancelled.CancelAsync();

        await isNoticed.Task.WaitAsync(Soon);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Post_ChunkedOverHttp1_IsFullDuplex(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1);
        using RawClient client = await ConnectAsync(application);

        await client.SendAsync("POST /bytes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n");
        await client.ReadHeadAsync();
        Assert.Equal("6\r\nhello\n\r\n", Encoding.Latin1.GetString(await client.ReadExactlyAsync(11)));
        await client.SendAsync("4\r\nbye\n\r\n0\r\n\r\n");

        Assert.Equal("4\r\nbye\n\r\n0\r\n\r\n", Encoding.Latin1.GetString(await client.ReadExactlyAsync(14)));
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 60000), MemberData(nameof(Transports))]
    public async Task Upgrade_BytesInBothDirections_AreNotFramed(TestedTransport transport)
    {
        await using Application application = await StartAsync(transport, HttpProtocols.Http1, options => options.UpgradeToken = "bytes");
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET /bytes HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n");
        await client.ReadHeadAsync();

        await client.SendAsync("one\n");
        Assert.Equal("one\n", Encoding.Latin1.GetString(await client.ReadExactlyAsync(4)));
        await client.SendAsync("two\nquit\n");

        Assert.Equal("two\n", Encoding.Latin1.GetString(await client.ReadToEndAsync()));
        Assert.Empty(application.Warnings);
    }

    private async Task<Application> StartAsync(TestedTransport transport, HttpProtocols protocols, Action<ByteStreamWebOptions>? configure = null)
    {
        Application application = await Application.StartAsync(
            transport,
            Endpoint.Tcp,
            web => web.MapByteStreamHandler("/bytes", EchoAsync, options =>
            {
                options.Server.Name = "bytes";
                options.Server.UseTelemetry();
                configure?.Invoke(options);
            }),
            listen => listen.Protocols = protocols,
            builder => builder.Services.AddByteStreams());
        application.Web.Services.GetRequiredService<ByteStreamMonitor>().ConnectionEnded += ended => _ended.TrySetResult(ended);
        return application;
    }

    private Task<Application> StartWithAuthorizationAsync(TestedTransport transport, ClaimsPrincipal user) =>
        Application.StartAsync(
            transport,
            Endpoint.Tcp,
            web =>
            {
                web.Use((context, next) =>
                {
                    context.User = user;
                    return next(context);
                });
                web.UseAuthorization();
                web.MapByteStreamHandler("/bytes", EchoAsync).RequireAuthorization(policy => policy.RequireClaim("role"));
            },
            configure: builder =>
            {
                builder.Services.AddAuthentication(BearerTokenDefaults.AuthenticationScheme).AddBearerToken();
                builder.Services.AddAuthorization();
            });

    private async Task EchoAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        Interlocked.Increment(ref _handlers);
        try
        {
            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line && !line.AsSpan().SequenceEqual("quit\n"u8))
            {
                writer.Write(line);
                await writer.DrainAsync(stopping);
                _echoed.TrySetResult();
            }
        }
        catch (Exception error)
        {
            _failure.TrySetResult(error);
            throw;
        }
    }

    private async Task<ClientWebSocket> ConnectWebSocketAsync(Application application)
    {
        using HttpClient http = application.CreateClient();
        var client = new ClientWebSocket();
        await client.ConnectAsync(new Uri("ws://localhost/bytes"), http, Soon);
        return client;
    }

    private sealed record Greeting(string Text);

    private sealed class Greeter(Greeting greeting) : ByteStreamHandler
    {
        public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            byte[] name = await reader.ReadLineAsync(stopping);
            writer.Write([.. Encoding.UTF8.GetBytes(greeting.Text), .. name]);
        }
    }

    /// <summary>A request body that is sent and does not end.</summary>
    private sealed class EndlessContent(byte[] bytes) : HttpContent
    {
        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, default);

        // HttpClient sends RST_STREAM when the body has ended by its cancellation.
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            await stream.WriteAsync(bytes, cancellationToken);
            await stream.FlushAsync(cancellationToken);
            await Task.Delay(Timeout.Infinite, cancellationToken);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}

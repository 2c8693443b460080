using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Http.Tests;

/// <summary><c>AddByteStreamTransport</c> among the other registrations of an application, and the options that it obeys.</summary>
public class RegistrationTests : HttpTest
{
    public static TheoryData<string> Orders =>
    [
        "AddByteStreamTransport UseKestrel",
        "UseKestrel AddByteStreamTransport",
        "AddByteStreamTransport UseKestrel UseSockets",
        "UseKestrel AddByteStreamTransport UseSockets",
        "UseKestrel UseSockets AddByteStreamTransport",
        "UseSockets AddByteStreamTransport UseKestrel",
        "AddByteStreamTransport UseSockets UseKestrel",
        "AddByteStreamTransport UseKestrel UseQuic UseSockets",
        "UseQuic UseKestrel AddByteStreamTransport UseSockets",
        "AddByteStreamTransport UseKestrel UseSystemd UseSockets",
        "UseKestrel UseSystemd UseSockets AddByteStreamTransport",
        "AddByteStreamTransport AddByteStreamTransport UseKestrel UseSockets",
    ];

    /// <summary>Answers whether this library's transport carries the request.</summary>
    internal static void MapTransport(WebApplication web) => web.MapGet("/", ServeAsync);

    [Theory(Timeout = 120000), MemberData(nameof(Orders))]
    public async Task AddByteStreamTransport_AnyOrder_ServesTcp(string order)
    {
        using IHost host = Build(order, kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        await host.StartAsync(Soon);
        string address = host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        using var client = new HttpClient();

        Assert.Equal("True", await client.GetStringAsync(new Uri(address), Soon));
        await host.StopAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Orders))]
    public async Task AddByteStreamTransport_AnyOrder_ServesUnixAndHandles(string order)
    {
        using var handle = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        handle.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        DirectoryInfo folder = Directory.CreateTempSubdirectory("bs-order-");
        var path = new UnixDomainSocketEndPoint(Path.Combine(folder.FullName, "s"));
        using IHost host = Build(order, kestrel =>
        {
            kestrel.ListenHandle((ulong)handle.Handle);
            kestrel.ListenUnixSocket(path.ToString());
        });
        await host.StartAsync(Soon);
        using var overHandle = new HttpClient();
        using var overUnix = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(path, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });

        Assert.Equal("True", await overHandle.GetStringAsync(new Uri($"http://{handle.LocalEndPoint}"), Soon));
        Assert.Equal("True", await overUnix.GetStringAsync(new Uri("http://localhost"), Soon));
        await host.StopAsync(Soon);
        folder.Delete(recursive: true);
    }

    [Theory(Timeout = 120000)]
    [InlineData("Foreign AddByteStreamTransport UseKestrel")]
    [InlineData("UseKestrel AddByteStreamTransport UseSockets Foreign")]
    public async Task AddByteStreamTransport_EndpointOfAnotherTransport_StaysWithIt(string order)
    {
        var foreign = new ForeignEndPoint();
        using IHost host = Build(order, kestrel => kestrel.Listen(foreign));

        await host.StartAsync(Soon);

        Assert.True(foreign.IsBound);
        await host.StopAsync(Soon);
    }

    [Fact]
    public void AddByteStreamTransport_CalledAgain_AddsToTheSettingsAndRegistersOnce()
    {
        var services = new ServiceCollection();
        int calls = 0;
        services.AddByteStreamTransport(_ => calls++).AddByteStreamTransport(_ => calls++);
        using ServiceProvider provider = services.BuildServiceProvider(validateScopes: true);

        IConnectionListenerFactory factory = Assert.Single(provider.GetServices<IConnectionListenerFactory>());

        Assert.IsType<ByteStreamTransportFactory>(factory);
        Assert.Same(factory, provider.GetRequiredService<IConnectionListenerFactory>());
        Assert.Equal(2, calls);
    }

    [Fact]
    public void UseSockets_OptionsWithACounterpart_Apply()
    {
        ByteStreamServerOptions? seen = null;
        using ServiceProvider provider = Configure(
            sockets => (sockets.Backlog, sockets.NoDelay, sockets.MaxWriteBufferSize) = (17, false, 1234), options => seen = options, out FakeLogCollector log);

        _ = provider.GetServices<IConnectionListenerFactory>().ToArray();

        Assert.Equal((17, false, 1234), (seen!.Backlog, seen.NoDelay, seen.WriteBufferHighWater));
        Assert.Empty(log.GetSnapshot());
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0L)]
    [InlineData(long.MaxValue)]
    public void UseSockets_UnboundedWriteBuffer_IsUnbounded(long? size)
    {
        ByteStreamServerOptions? seen = null;
        using ServiceProvider provider = Configure(sockets => sockets.MaxWriteBufferSize = size, options => seen = options, out _);

        _ = provider.GetServices<IConnectionListenerFactory>().ToArray();

        Assert.Equal(int.MaxValue, seen!.WriteBufferHighWater);
    }

    [Fact]
    public void UseSockets_DefaultsOfThisTransportChanged_Win()
    {
        ByteStreamServerOptions? seen = null;
        using ServiceProvider provider = Configure(
            sockets => sockets.Backlog = 17,
            options =>
            {
                options.Backlog = 34;
                seen = options;
            },
            out _);

        _ = provider.GetServices<IConnectionListenerFactory>().ToArray();

        Assert.Equal(34, seen!.Backlog);
        Assert.True(seen.NoDelay);
    }

    [Fact]
    public void UseSockets_OptionsWithoutACounterpart_AreNamedInOneWarning()
    {
        using ServiceProvider provider = Configure(
            sockets => (sockets.IOQueueCount, sockets.MaxReadBufferSize, sockets.UnsafePreferInlineScheduling, sockets.WaitForDataBeforeAllocatingBuffer) =
                (sockets.IOQueueCount + 1, 4096, true, false),
            null,
            out FakeLogCollector log);

        _ = provider.GetServices<IConnectionListenerFactory>().ToArray();
        _ = provider.GetRequiredService<IConnectionListenerFactory>();

        FakeLogRecord warning = Assert.Single(log.GetSnapshot());
        Assert.Equal((LogLevel.Warning, 304), (warning.Level, warning.Id.Id));
        Assert.Contains("IOQueueCount, MaxReadBufferSize, UnsafePreferInlineScheduling, WaitForDataBeforeAllocatingBuffer", warning.Message, StringComparison.Ordinal);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task UseSockets_NoDelay_IsSetOnConnections(TestedTransport transport)
    {
        await using Application application = await Application.StartAsync(
            transport,
            Endpoint.Tcp,
            web => web.MapGet("/", context => context.Response.WriteAsync(
                $"{context.Features.Get<Microsoft.AspNetCore.Connections.Features.IConnectionSocketFeature>()!.Socket.NoDelay}", Soon)),
            configure: builder => builder.WebHost.UseSockets(sockets => sockets.NoDelay = false));
        using HttpClient client = application.CreateClient();

        Assert.Equal("False", await client.GetStringAsync("/", Soon));
        Assert.Empty(application.Warnings);
    }

    private static ServiceProvider Configure(
        Action<SocketTransportOptions> sockets, Action<ByteStreamServerOptions>? options, out FakeLogCollector log)
    {
        var collector = new FakeLogCollector();
        var services = new ServiceCollection();
        services.AddLogging(logging => logging.AddProvider(new FakeLoggerProvider(collector)));
        services.Configure(sockets);
        services.AddByteStreamTransport(options);
        log = collector;
        return services.BuildServiceProvider();
    }

    private static IHost Build(string order, Action<Microsoft.AspNetCore.Server.Kestrel.Core.KestrelServerOptions> listen) =>
        new HostBuilder().ConfigureWebHost(web =>
        {
            foreach (string registration in order.Split(' '))
            {
                _ = registration switch
                {
                    "AddByteStreamTransport" => web.ConfigureServices(services => services.AddByteStreamTransport()),
                    "UseKestrel" => web.UseKestrel(),
                    "UseSockets" => web.UseSockets(),
                    "UseQuic" => web.UseQuic(),
                    "UseSystemd" => web.ConfigureKestrel(kestrel => kestrel.UseSystemd()),
                    "Foreign" => web.ConfigureServices(services => services.AddSingleton<IConnectionListenerFactory, ForeignTransport>()),
                    _ => throw new ArgumentException(registration, nameof(order)),
                };
            }

            web.ConfigureKestrel(listen);
            web.Configure(application => application.Run(ServeAsync));
        }).Build();

    private static Task ServeAsync(HttpContext context) => context.Response.WriteAsync($"{context.Features.Get<IByteStreamTransportFeature>() is not null}");

    private sealed class ForeignEndPoint : EndPoint
    {
        public bool IsBound { get; set; }
    }

    private sealed class ForeignTransport : IConnectionListenerFactory, IConnectionListenerFactorySelector
    {
        public bool CanBind(EndPoint endpoint) => endpoint is ForeignEndPoint;

        public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
        {
            ((ForeignEndPoint)endpoint).IsBound = true;
            return new(new ForeignListener(endpoint));
        }
    }

    private sealed class ForeignListener(EndPoint endPoint) : IConnectionListener
    {
        private readonly TaskCompletionSource<ConnectionContext?> _unbound = Signal<ConnectionContext?>();

        public EndPoint EndPoint => endPoint;

        public ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default) => new(_unbound.Task);

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            _unbound.TrySetResult(null);
            return default;
        }

        public ValueTask DisposeAsync() => UnbindAsync();
    }
}

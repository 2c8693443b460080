using System.Collections.Concurrent;
using System.Net;
using System.Text;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Hosting;

public class HostingTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task AddHandler_Class_LivesInAScopeOfItsOwnPerConnection()
    {
        var log = new ConcurrentQueue<string>();
        using IHost host = await StartAsync(services =>
        {
            services.AddSingleton(log).AddScoped<Scoped>();
            services.AddByteStreams().AddHandler<NumberedHandler>("numbered").AddEndpoint("a", "tcp://127.0.0.1:0", "numbered");
        });
        EndPoint endPoint = Server(host, "a").EndPoints[0];

        await using (ByteStreamConnection first = await ByteStream.OpenConnectionAsync(endPoint, cancellationToken: Cancel))
        await using (ByteStreamConnection second = await ByteStream.OpenConnectionAsync(endPoint, cancellationToken: Cancel))
        {
            string one = (await first.Reader.ReadTextLineAsync(cancellationToken: Cancel))!;
            string other = (await second.Reader.ReadTextLineAsync(cancellationToken: Cancel))!;

            // The handler and its collaborator share one scope; two connections share nothing.
            Assert.Equal(one.Split(' ')[0], one.Split(' ')[1]);
            Assert.NotEqual(one, other);
            Assert.Empty(log);
        }

        await host.StopAsync(Cancel);
        Assert.Equal(["handler", "handler", "scoped", "scoped"], log.Order());
    }

    [Fact(Timeout = 120000)]
    public async Task AddHandler_ClassThatNeedsNothing_IsMadePerConnectionAndDisposedWithIt()
    {
        int before = PlainHandler.Disposed;
        using IHost host = await StartAsync(services => services.AddByteStreams()
            .AddHandler<PlainHandler>("plain").AddHandler<DisposableHandler>("disposable")
            .AddEndpoint("a", "tcp://127.0.0.1:0", "plain").AddEndpoint("b", "tcp://127.0.0.1:0", "disposable"));

        Assert.Equal("1\n", await AnswerAsync(host, "a"));
        Assert.Equal("1\n", await AnswerAsync(host, "a"));
        Assert.Equal("disposable\n", await AnswerAsync(host, "b"));
        await host.StopAsync(Cancel);
        Assert.Equal(before + 1, PlainHandler.Disposed);
    }

    [Fact(Timeout = 120000)]
    public async Task AddHandler_ClassThatNeedsNothingAndIsRegistered_IsTheApplicationsOwn()
    {
        using IHost host = await StartAsync(services =>
        {
            services.AddScoped(_ => new PlainHandler { Calls = 41 });
            services.AddByteStreams().AddHandler<PlainHandler>("plain").AddEndpoint("a", "tcp://127.0.0.1:0", "plain");
        });

        Assert.Equal("42\n", await AnswerAsync(host, "a"));
    }

    private static async Task<string> AnswerAsync(IHost host, string endpoint)
    {
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, endpoint).EndPoints[0], cancellationToken: Cancel);
        return Encoding.UTF8.GetString(await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task AddEndpoint_TwoArgumentCallback_Serves()
    {
        using IHost host = await StartAsync(services => services.AddByteStreams()
            .AddEndpoint("a", "tcp://127.0.0.1:0", (reader, writer) =>
            {
                writer.Write("hello\n");
                return Task.CompletedTask;
            }));

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, "a").EndPoints[0], cancellationToken: Cancel);

        Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Use_Middleware_SurroundsTheHandlerInOrder()
    {
        var log = new ConcurrentQueue<string>();
        using IHost host = await StartAsync(services => services.AddByteStreams()
            .AddHandler("noop", (_, _) => Task.CompletedTask)
            .AddEndpoint("a", "tcp://127.0.0.1:0", "noop", endpoint => endpoint.Use(Logged("outer", log)).Use(Logged("inner", log))));

        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, "a").EndPoints[0], cancellationToken: Cancel))
        {
            Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel));
        }

        await host.StopAsync(Cancel);
        Assert.Equal(["outer in", "inner in", "inner out", "outer out"], log);
    }

    [Fact(Timeout = 120000)]
    public async Task LoadFromConfig_Section_Serves()
    {
        IConfiguration configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["ByteStreams:Endpoints:a:Url"] = "tcp://127.0.0.1:0",
            ["ByteStreams:Endpoints:a:Handler"] = "echo",
            ["ByteStreams:Endpoints:a:Limit"] = "3",
        }).Build();
        using IHost host = await StartAsync(services => services.AddByteStreams()
            .AddHandler("echo", async (reader, writer) => writer.Write($"{reader.Limit}:{await reader.ReadTextLineAsync()}"))
            .LoadFromConfig(configuration.GetSection("ByteStreams")));

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, "A").EndPoints[0], cancellationToken: Cancel);
        client.Writer.Write("abc\n");

        Assert.Equal("3:abc"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Start_OneEndpointCannotBind_ReportsItAndLeavesNoneOpen()
    {
        await using ByteStreamServer taken = await ByteStream.StartServerAsync((_, _) => Task.CompletedTask, "127.0.0.1", 0, cancellationToken: Cancel);
        int free = Ports.Free();
        using IHost host = Build(services => services.AddByteStreams()
            .AddHandler("noop", (_, _) => Task.CompletedTask)
            .AddEndpoint("good", $"tcp://127.0.0.1:{free}", "noop")
            .AddEndpoint("bad", $"tcp://{taken.EndPoints[0]}", "noop"));

        var errors = await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Cancel));

        Assert.Contains("AddEndpoint(\"bad\"):Url", Assert.Single(errors.Errors), StringComparison.Ordinal);
        Assert.Contains("already in use", errors.Message, StringComparison.Ordinal);
        await Assert.ThrowsAnyAsync<System.Net.Sockets.SocketException>(() => ByteStream.OpenConnectionAsync("127.0.0.1", free, cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Stop_HandlerThatListens_FinishesItsReplyAndEndsCleanly()
    {
        using IHost host = await StartAsync(services => services.AddByteStreams()
            .AddEndpoint("a", "tcp://127.0.0.1:0", async (reader, writer, stopping) =>
            {
                writer.Write("ready\n");
                await writer.DrainAsync(CancellationToken.None);
                var told = new TaskCompletionSource();
                await using CancellationTokenRegistration registration = stopping.Register(told.SetResult);
                await told.Task;
                writer.Write("goodbye\n");
            }));
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, "a").EndPoints[0], cancellationToken: Cancel);
        Assert.Equal("ready", await client.Reader.ReadTextLineAsync(cancellationToken: Cancel));

        Task stopped = host.StopAsync(Cancel);

        Assert.Equal("goodbye\n"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
        client.Writer.Close();
        await stopped;
    }

    [Fact(Timeout = 120000)]
    public async Task Stop_HandlerThatIgnoresIt_IsAbortedAtTheDeadline()
    {
        using IHost host = await StartAsync(services => services.AddByteStreams().AddEndpoint("a", "tcp://127.0.0.1:0", async (reader, writer, _) =>
        {
            writer.Write("ready\n");
            await writer.DrainAsync(CancellationToken.None);
            await reader.ReadAsync(1, CancellationToken.None);
        }));
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, "a").EndPoints[0], cancellationToken: Cancel);
        Assert.Equal("ready", await client.Reader.ReadTextLineAsync(cancellationToken: Cancel));

        using var deadline = new CancellationTokenSource();
        Task stopped = host.StopAsync(deadline.Token);
        Assert.False(stopped.IsCompleted);
        await deadline.CancelAsync();
        await stopped;

        await Assert.ThrowsAsync<ConnectionResetException>(() => client.Reader.ReadAsync(1, Cancel).AsTask());
    }

    [Fact(Timeout = 120000)]
    public async Task Log_InHandler_CarriesConnectionEndpointAndPeer()
    {
        var collector = new FakeLogCollector();
        using IHost host = await StartAsync(services =>
        {
            services.AddLogging(logging => logging.AddProvider(new FakeLoggerProvider(collector)));
            services.AddByteStreams().AddHandler<LoggingHandler>("logging").AddEndpoint("a", "tcp://127.0.0.1:0", "logging");
        });

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(Server(host, "a").EndPoints[0], cancellationToken: Cancel);
        string id = (await client.Reader.ReadTextLineAsync(cancellationToken: Cancel))!;

        FakeLogRecord record = Assert.Single(collector.GetSnapshot(), record => record.Message == "served");
        var facts = record.Scopes.OfType<IEnumerable<KeyValuePair<string, object?>>>().SelectMany(scope => scope).ToLookup(fact => fact.Key, fact => fact.Value?.ToString());
        Assert.Contains(id, facts["ConnectionId"]);
        Assert.Equal(["a"], facts["Endpoint"]);
        Assert.Equal([client.Writer.LocalEndPoint!.ToString()], facts["Peer"]);
    }

    [Fact(Timeout = 120000)]
    public async Task UseByteStreamHandler_OnTheApplicationsOwnKestrel_ServesAndCannotHalfClose()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddScoped<Scoped>().AddSingleton(new ConcurrentQueue<string>());
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.UseByteStreamHandler<HalfCloseHandler>()));
        await using WebApplication application = builder.Build();
        await application.StartAsync(Cancel);
        string address = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", new Uri(address).Port, cancellationToken: Cancel);

        Assert.Equal("CanWriteEof=False\n"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    private static ByteStreamServer Server(IHost host, string name) => host.Services.GetRequiredService<ByteStreamServers>()[name];

    private static async Task<IHost> StartAsync(Action<IServiceCollection> configure)
    {
        IHost host = Build(configure);
        await host.StartAsync(Cancel);
        return host;
    }

    private static IHost Build(Action<IServiceCollection> configure)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        configure(builder.Services);
        return builder.Build();
    }

    private static Func<ConnectionDelegate, ConnectionDelegate> Logged(string name, ConcurrentQueue<string> log) => next => async connection =>
    {
        log.Enqueue($"{name} in");
        await next(connection);
        log.Enqueue($"{name} out");
    };

    private sealed class Scoped(ConcurrentQueue<string> log) : IDisposable
    {
        public Guid Id { get; } = Guid.NewGuid();

        public void Dispose() => log.Enqueue("scoped");
    }

    private sealed class NumberedHandler(Scoped scoped, IServiceProvider scope, ConcurrentQueue<string> log) : ByteStreamHandler, IDisposable
    {
        public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            writer.Write($"{scoped.Id} {scope.GetRequiredService<Scoped>().Id}\n");
            await reader.ReadLineAsync(stopping);
        }

        public void Dispose() => log.Enqueue("handler");
    }

    private sealed class PlainHandler : ByteStreamHandler
    {
        private static int _disposed;

        public static int Disposed => Volatile.Read(ref _disposed);

        public int Calls { get; set; }

        public static void OnDisposed() => Interlocked.Increment(ref _disposed);

        public override Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            writer.Write($"{++Calls}\n");
            return Task.CompletedTask;
        }
    }

    private sealed class DisposableHandler : ByteStreamHandler, IAsyncDisposable
    {
        public override Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            writer.Write("disposable\n");
            return Task.CompletedTask;
        }

        public ValueTask DisposeAsync()
        {
            PlainHandler.OnDisposed();
            return default;
        }
    }

    private sealed class LoggingHandler(ILogger<LoggingHandler> logger) : ByteStreamHandler
    {
        public override Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
#pragma warning disable CA1848, CA1873 // One line, in a test.
            logger.LogInformation("served");
#pragma warning restore CA1848, CA1873
            writer.Write($"{writer.ConnectionId}\n");
            return Task.CompletedTask;
        }
    }

    private sealed class HalfCloseHandler(Scoped scoped) : ByteStreamHandler
    {
        public override Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            Assert.NotEqual(Guid.Empty, scoped.Id);
            Assert.Throws<NotSupportedException>(writer.WriteEof);
            writer.Write($"CanWriteEof={writer.CanWriteEof}\n");
            return Task.CompletedTask;
        }
    }
}

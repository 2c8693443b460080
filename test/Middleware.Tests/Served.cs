using System.Diagnostics;
using System.Net;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests;

/// <summary>What carries the connections of a test: middleware works on both.</summary>
public enum Carrier
{
    /// <summary>This library's server and transport.</summary>
    Own,

    /// <summary>The application's own Kestrel, on its stock transport.</summary>
    Stock,
}

/// <summary>A handler behind middleware, on a loopback port, with everything that it logs and counts.</summary>
internal sealed class Served : IAsyncDisposable
{
    private readonly IAsyncDisposable _server;
    private readonly ServiceProvider _services;

    private Served(EndPoint endPoint, IAsyncDisposable server, ServiceProvider services, FakeLogCollector log)
    {
        EndPoint = endPoint;
        _server = server;
        _services = services;
        Log = log;
    }

    public EndPoint EndPoint { get; }

    /// <summary>The server of <see cref="Carrier.Own"/>.</summary>
    public ByteStreamServer Server => (ByteStreamServer)_server;

    public FakeLogCollector Log { get; }

    public ByteStreamMetrics Metrics => _services.GetRequiredService<ByteStreamMetrics>();

    public IServiceProvider Services => _services;

    /// <summary>The summary lines so far.</summary>
    public IReadOnlyList<FakeLogRecord> Summaries => [.. Log.GetSnapshot().Where(record => record.Id.Id == 700)];

    public static async Task<Served> StartAsync(
        Carrier carrier, Action<IConnectionBuilder> surround, ByteStreamDelegate handler, TimeProvider? time = null, EndPoint? endPoint = null,
        Action<IServiceCollection>? configure = null)
    {
        var log = new FakeLogCollector();
        var registered = new ServiceCollection();
        registered.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(log)));
        registered.AddMetrics();
        registered.AddSingleton(provider => new ByteStreamMetrics(provider.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>()));
        registered.AddSingleton(time ?? TimeProvider.System);
        configure?.Invoke(registered);
        ServiceProvider services = registered.BuildServiceProvider();
        if (carrier == Carrier.Own)
        {
            var options = new ByteStreamServerOptions
            {
                Name = "tested",
                ApplicationServices = services,
                LoggerFactory = services.GetRequiredService<ILoggerFactory>(),
                TimeProvider = time ?? TimeProvider.System,
            };
            surround(options);
            ByteStreamServer server = await ByteStream.StartServerAsync(handler, endPoint ?? new IPEndPoint(IPAddress.Loopback, 0), options);
            return new Served(server.EndPoints[0], server, services, log);
        }

        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(log));
        builder.Services.AddSingleton(services.GetRequiredService<ByteStreamMetrics>());
        builder.Services.AddSingleton(time ?? TimeProvider.System);
        configure?.Invoke(builder.Services);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(endPoint ?? new IPEndPoint(IPAddress.Loopback, 0), listen =>
        {
            surround(listen);
            listen.UseByteStreamHandler(handler);
        }));
        WebApplication application = builder.Build();
        await application.StartAsync();
        string address = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return new Served(endPoint ?? new IPEndPoint(IPAddress.Loopback, new Uri(address).Port), application, services, log);
    }

    /// <summary>Waits for a number of connections' summary lines.</summary>
    public async Task<IReadOnlyList<FakeLogRecord>> WaitForSummariesAsync(int count)
    {
        await Patience.UntilAsync(() => Summaries.Count, now => now >= count);
        return Summaries;
    }

    /// <summary>Stops taking connections, tells handlers, and waits for them.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => _server switch
    {
        ByteStreamServer own => own.StopAsync(cancellationToken),
        WebApplication stock => stock.StopAsync(cancellationToken),
        _ => throw new UnreachableException(),
    };

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        await _services.DisposeAsync();
    }
}

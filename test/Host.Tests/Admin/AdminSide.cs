using System.Net;
using ByteStreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.TestHost;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using StreamsHost.Configuration;
using StreamsHost.Hosting;

namespace StreamsHost.Tests.Admin;

/// <summary>The whole host in this process: its endpoints listen on free ports, and its HTTP side answers in memory.</summary>
internal sealed class AdminSide : IAsyncDisposable
{
    private readonly WebApplication _application;

    private AdminSide(WebApplication application, FakeLogCollector log)
    {
        _application = application;
        Log = log;
        Client = application.GetTestClient();
    }

    public HttpClient Client { get; }

    public FakeLogCollector Log { get; }

    public IServiceProvider Services => _application.Services;

    public TestServer Server => _application.GetTestServer();

    public ByteStreamMonitor Monitor => Services.GetRequiredService<ByteStreamMonitor>();

    public EndPoint EndPoint(string name) => Services.GetRequiredService<ByteStreamServers>()[name].EndPoints[0];

    public static async Task<AdminSide> StartAsync(CancellationToken cancellationToken, params string[] keys)
    {
        WebApplicationBuilder builder = HostApplication.CreateBuilder(new HostArguments(null,
        [
            "--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:0",
            $"--ByteStreams:Endpoints:echo-unix:Url=unix:@streamshost-{Guid.NewGuid():N}",
            "--ByteStreams:Endpoints:chat:Url=tcp://127.0.0.1:0",
            .. keys,
        ]));
        builder.WebHost.UseTestServer();
        var log = new FakeLogCollector();
        builder.Logging.ClearProviders().AddProvider(new FakeLoggerProvider(log));
        builder.Services.AddSingleton(TextWriter.Null);
        WebApplication application = builder.Build();
        application.MapAdmin();
        await application.StartAsync(cancellationToken);
        return new AdminSide(application, log);
    }

    /// <summary>A connection to an endpoint that has answered a line.</summary>
    public async Task<ByteStreamConnection> ConnectAsync(string endpoint, CancellationToken cancellationToken)
    {
        ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(EndPoint(endpoint), cancellationToken: cancellationToken);
        connection.Writer.Write("hello\n");
        Assert.Equal("hello\n"u8.ToArray(), await connection.Reader.ReadLineAsync(cancellationToken));

        // It may be here before the host has counted that it was sent.
        await Patience.UntilAsync(() => Monitor.Connections()[0].BytesSent, sent => sent >= 6);

        return connection;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _application.StopAsync();
        await _application.DisposeAsync();
    }
}

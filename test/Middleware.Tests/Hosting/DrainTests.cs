using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>The end of all endpoints, on a clock that the tests move.</summary>
public sealed class DrainTests : IAsyncDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly FakeLogCollector _log = new();
    private readonly TaskCompletionSource _told = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _finish = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HttpClient _http = new();
    private readonly List<ByteStreamConnection> _clients = [];
    private WebApplication? _host;
    private EndPoint? _address;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private WebApplication Host => _host!;

    private ByteStreamServers Servers => Host.Services.GetRequiredService<ByteStreamServers>();

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F41")]
    public async Task Stop_DelayAndRepliesInProgress_GoInOrder()
    {
        await StartAsync(delay: "5s", timeout: "30s");
        ByteStreamConnection open = await ConnectAsync();
        Assert.Equal("200 OK", await ReadyAsync());

        Task stopping = Host.StopAsync(Cancel);

        // Not ready at once, and the HTTP side still says so; everybody is served as ever.
        Assert.Equal(ByteStreamsState.Draining, Servers.State);
        Assert.Equal("503 ServiceUnavailable", await ReadyAsync());
        await WaitForAsync(806);
        _time.Advance(TimeSpan.FromSeconds(4.9));
        ByteStreamConnection late = await ConnectAsync();
        Assert.False(_told.Task.IsCompleted);

        _time.Advance(TimeSpan.FromSeconds(0.1));
        await _told.Task.WaitAsync(Cancel);
        await Assert.ThrowsAnyAsync<SocketException>(ConnectAsync);
        Assert.Equal("503 ServiceUnavailable", await ReadyAsync());
        Assert.False(stopping.IsCompleted);

        _finish.SetResult();
        Assert.Equal("goodbye"u8.ToArray(), await open.Reader.ReadAsync(cancellationToken: Cancel));
        Assert.Equal("goodbye"u8.ToArray(), await late.Reader.ReadAsync(cancellationToken: Cancel));
        await EndClientsAsync();
        await stopping;
        Assert.Equal(ByteStreamsState.Drained, Servers.State);
        Assert.True((await Servers.DrainAsync(Cancel)).IsClean);
        Assert.DoesNotContain(_log.GetSnapshot(), record => record.Level >= LogLevel.Warning && record.Category!.StartsWith("ByteStreams", StringComparison.Ordinal));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F42")]
    public async Task Drain_MoreThanTwentyIgnoreIt_AreAbortedAtTheDeadlineAndLogged()
    {
        await StartAsync(delay: "0s", timeout: "30s");
        for (int i = 0; i < 23; i++)
        {
            await ConnectAsync();
        }

        _time.Advance(TimeSpan.FromSeconds(12));
        Task<DrainReport> draining = Servers.DrainAsync(Cancel);
        await _told.Task.WaitAsync(Cancel);
        await WaitForAsync(807);
        _time.Advance(TimeSpan.FromSeconds(29.9));
        Assert.False(draining.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(0.1));

        // They ignore the abort too: a grace, and they are left behind.
        await WaitForAsync(407);
        while (!draining.IsCompleted)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        DrainReport report = await draining;
        Assert.Equal((23, 23, false), (report.Aborted, report.LeftBehind, report.IsClean));
        FakeLogRecord[] cut = [.. _log.GetSnapshot().Where(record => record.Id.Id == 406)];
        Assert.Equal(20, cut.Length);
        Assert.All(cut, record => Assert.Matches(
            @"^Connection \S+ did not close by the shutdown deadline and is aborted\. Endpoint a, handler slow, peer 127\.0\.0\.1:\d+, 42 s old, 2 bytes in, 6 bytes out\.$",
            record.Message));
        Assert.Equal("Endpoint a: 3 more connections are aborted.", Assert.Single(_log.GetSnapshot(), record => record.Id.Id == 407).Message);
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F43")]
    public async Task Abort_WhileDraining_EndsTheDelayAndTheWaiting()
    {
        await StartAsync(delay: "1h", timeout: "1h");
        ByteStreamConnection open = await ConnectAsync();
        _ = Servers.DrainAsync(Cancel);
        await WaitForAsync(806);

        Task<DrainReport> aborting = Servers.AbortAsync(Cancel);

        await Assert.ThrowsAnyAsync<IOException>(async () => await open.Reader.ReadAsync(cancellationToken: Cancel));
        _finish.SetResult();
        DrainReport report = await aborting;
        Assert.Equal((1, 0), (report.Aborted, report.LeftBehind));
        Assert.Equal(ByteStreamsState.Drained, Servers.State);
        await Host.StopAsync(Cancel);
    }

    [Theory]
    [InlineData("5s", "60s", null, 75)]
    [InlineData("5s", null, null, 45)]
    [InlineData(null, "10s", null, 30)]
    [InlineData(null, "60s", 5, 70)]
    [InlineData(null, null, null, 40)]
    [InlineData(null, null, 5, 5)]
    public async Task Start_DrainTimes_FitIntoTheHostsShutdownTime(string? delay, string? timeout, int? set, int expectedSeconds)
    {
        await StartAsync(delay, timeout, services =>
        {
            if (set is int seconds)
            {
                services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(seconds));
            }
        });

        Assert.Equal(TimeSpan.FromSeconds(expectedSeconds), Host.Services.GetRequiredService<IOptions<HostOptions>>().Value.ShutdownTimeout);
    }

    [Fact(Timeout = 120000)]
    public async Task Drain_BeforeTheStart_IsRefusedAndNotReady()
    {
        Build(null, null, _ => { });

        Assert.Equal(ByteStreamsState.Starting, Servers.State);
        Assert.Throws<InvalidOperationException>(() => { _ = Servers.DrainAsync(Cancel); });
        HealthReport report = await Host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancel);
        Assert.Equal("The endpoints have not started.", report.Entries["bytestreams"].Description);
    }

    [Fact(Timeout = 120000)]
    public async Task Check_OneEndpointClosed_IsNotReadyAndNamesIt()
    {
        await StartAsync(null, null);

        Servers["a"].Close();

        HealthReport report = await Host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(Cancel);
        Assert.Equal((HealthStatus.Unhealthy, "Not serving: a."), (report.Status, report.Entries["bytestreams"].Description));
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        _finish.TrySetResult();
        await EndClientsAsync();
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    private async Task EndClientsAsync()
    {
        foreach (ByteStreamConnection client in _clients)
        {
            await client.DisposeAsync();
        }

        _clients.Clear();
    }

    private void Build(string? delay, string? timeout, Action<IServiceCollection> configure)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders().AddProvider(new FakeLoggerProvider(_log));
        builder.Services.AddSingleton<TimeProvider>(_time);
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["ByteStreams:Endpoints:a:Url"] = "tcp://127.0.0.1:0",
            ["ByteStreams:Endpoints:a:Handler"] = "slow",
        });
        foreach ((string key, string? value) in new[] { ("DrainDelay", delay), ("DrainTimeout", timeout) })
        {
            if (value is not null)
            {
                builder.Configuration[$"ByteStreams:{key}"] = value;
            }
        }

        builder.Services.AddByteStreams().AddHandler("slow", SlowAsync).LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        builder.Services.AddHealthChecks().AddByteStreams();
        configure(builder.Services);
        _host = builder.Build();
        _host.MapHealthChecks("/readyz");
    }

    private async Task StartAsync(string? delay, string? timeout, Action<IServiceCollection>? configure = null)
    {
        Build(delay, timeout, configure ?? (_ => { }));
        await Host.StartAsync(Cancel);
        _address = Servers["a"].EndPoints[0];
    }

    /// <summary>A request is at work from the first byte until the test lets it finish, whatever happens to the connection.</summary>
    private async Task SlowAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await reader.ReadLineAsync(CancellationToken.None);
        writer.Write("begun\n");
        await using CancellationTokenRegistration told = stopping.Register(() => _told.TrySetResult());
        await _finish.Task;
        writer.Write("goodbye");
    }

    private async Task<ByteStreamConnection> ConnectAsync()
    {
        ByteStreamConnection client = await ByteStream.OpenConnectionAsync(_address!, cancellationToken: Cancel);
        _clients.Add(client);
        client.Writer.Write("?\n");
        Assert.Equal("begun", await client.Reader.ReadTextLineAsync(cancellationToken: Cancel));
        return client;
    }

    private async Task<string> ReadyAsync()
    {
        using HttpResponseMessage answer = await _http.GetAsync(new Uri($"{Host.Urls.Single()}/readyz"), Cancel);
        return $"{(int)answer.StatusCode} {answer.StatusCode}";
    }

    private Task WaitForAsync(int id) => Patience.UntilAsync(
        () => _log.GetSnapshot().Any(record => record.Id.Id == id), awaited: $"log event {id}");
}

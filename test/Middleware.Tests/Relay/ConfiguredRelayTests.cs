using System.Diagnostics.Metrics;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>The handler <c>relay</c>, as configuration has it.</summary>
public sealed class ConfiguredRelayTests : ServedTest
{
    [Fact]
    public async Task Relay_Configured_ServesAndTelemetryNamesTheUpstream()
    {
        using IHost host = Configured(
            ("back:Url", "tcp://127.0.0.1:0"),
            ("back:Handler", "echo"));
        await host.StartAsync(Soon);
        string upstream = $"tcp://{host.Services.GetRequiredService<ByteStreamServers>()["back"].EndPoints[0]}";
        using IHost front = Configured(
            ("front:Url", "tcp://127.0.0.1:0"),
            ("front:Handler", "relay"),
            ("front:Relay:Upstreams:0", upstream));
        await front.StartAsync(Soon);
        IMeterFactory meters = front.Services.GetRequiredService<IMeterFactory>();
        using var active = new MetricCollector<long>(meters, "ByteStreams", "bytestreams.upstream.active_connections");
        using var available = new MetricCollector<long>(meters, "ByteStreams", "bytestreams.upstream.available");
        using var connects = new MetricCollector<double>(meters, "ByteStreams", "bytestreams.upstream.connect.duration");

        await using (ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(
            front.Services.GetRequiredService<ByteStreamServers>()["front"].EndPoints[0], cancellationToken: Soon))
        {
            Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
            active.RecordObservableInstruments();
            available.RecordObservableInstruments();
            Assert.Equal(1, active.LastMeasurement!.Value);
            Assert.Equal(upstream, active.LastMeasurement.Tags["bytestreams.upstream"]);
            Assert.Equal("front", active.LastMeasurement.Tags["bytestreams.endpoint"]);
            Assert.Equal(1, available.LastMeasurement!.Value);
        }

        FakeLogCollector log = front.Services.GetFakeLogCollector();
        await Patience.UntilAsync(() => log.GetSnapshot().Any(record => record.Id.Id == 700));
        Assert.Contains($", upstream {upstream}, 6 bytes in, 6 bytes out", log.GetSnapshot().Single(record => record.Id.Id == 700).Message, StringComparison.Ordinal);
        active.RecordObservableInstruments();
        Assert.Equal(0, active.LastMeasurement.Value);
        Assert.DoesNotContain("error.type", Assert.Single(connects.GetMeasurementSnapshot()).Tags.Keys);
        await front.StopAsync(Soon);
        await host.StopAsync(Soon);
    }

    [Fact]
    [Trait("Fault", "F60")]
    public async Task Relay_ConfiguredUpstreamRefuses_MetricsSayWhy_F60()
    {
        using IHost front = Configured(
            ("front:Url", "tcp://127.0.0.1:0"),
            ("front:Handler", "relay"),
            ("front:Relay:Upstreams", $"tcp://127.0.0.1:{RefusingPort()}"));
        await front.StartAsync(Soon);
        using var connects = new MetricCollector<double>(
            front.Services.GetRequiredService<IMeterFactory>(), "ByteStreams", "bytestreams.upstream.connect.duration");

        await AssertRefusedAsync(front.Services.GetRequiredService<ByteStreamServers>()["front"].EndPoints[0]);
        await connects.WaitForMeasurementsAsync(1, Soon);

        Assert.Equal("ConnectionRefused", Assert.Single(connects.GetMeasurementSnapshot()).Tags["error.type"]);
        await front.StopAsync(Soon);
    }

    [Fact]
    [Trait("Fault", "F45")]
    public async Task Relay_Misconfigured_EachMistakeIsToldWithItsKey_F45()
    {
        using IHost host = Configured(
            ("none:Url", "tcp://127.0.0.1:0"),
            ("none:Handler", "relay"),
            ("other:Url", "tcp://127.0.0.1:0"),
            ("other:Handler", "echo"),
            ("other:Relay:Upstreams:0", "unix:/run/app.sock"),
            ("typing:Url", "tcp://127.0.0.1:0"),
            ("typing:Handler", "relay"),
            ("typing:Relay:Upstream", "unix:/run/app.sock"),
            ("typing:Relay:Tls:CaPaht", "/ca.pem"),
            ("files:Url", "tcp://127.0.0.1:0"),
            ("files:Handler", "relay"),
            ("files:Relay:Upstreams:0", "tls://localhost:1"),
            ("files:Relay:Tls:CaPath", "/no/such/ca.pem"));

        EndpointConfigurationException error = await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Soon));

        string[] expected =
        [
            "ByteStreams:Endpoints:files:Relay:Tls: /no/such/ca.pem",
            "ByteStreams:Endpoints:none:Relay:Upstreams is empty. Add at least one URL",
            "ByteStreams:Endpoints:other:Relay: the handler is 'echo', so this section has no effect. Set Handler to relay.",
            "ByteStreams:Endpoints:typing:Relay:Tls:CaPaht: there is no such key. Did you mean 'CaPath'?",
            "ByteStreams:Endpoints:typing:Relay:Upstream: there is no such key. Did you mean 'Upstreams'?",
            "ByteStreams:Endpoints:typing:Relay:Upstreams is empty. Add at least one URL",
        ];
        string[] errors = [.. error.Errors.Order(StringComparer.Ordinal)];
        Assert.Equal(expected.Length, errors.Length);
        Assert.All(expected.Zip(errors), pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("true")]
    [InlineData("false")]
    public async Task Readiness_UpstreamIsDownAndComesBack_IsFollowedWhereItCounts(string readiness)
    {
        int port = RefusingPort();
        string path = Path.Combine(Path.GetTempPath(), $"readiness-{Guid.NewGuid():N}.sock");
        using IHost front = Configured(
            ("front:Url", "tcp://127.0.0.1:0"),
            ("front:Handler", "relay"),
            ("front:Relay:Upstreams:0", $"tcp://127.0.0.1:{port}"),
            ("front:Relay:Upstreams:1", $"unix:{path}"),
            ("front:Relay:Readiness", readiness),
            ("front:Relay:HealthCheckInterval", "20ms"),
            ("front:Relay:UnhealthyAfter", "1"),
            ("front:Relay:HealthyAfter", "1"));
        await front.StartAsync(Soon);
        ByteStreamMonitor monitor = front.Services.GetRequiredService<ByteStreamMonitor>();
        HealthCheckService checks = front.Services.GetRequiredService<HealthCheckService>();
        await Patience.UntilAsync(() => monitor.Endpoints()[0].Upstreams.All(upstream => !upstream.IsHealthy));

        HealthReport down = await checks.CheckHealthAsync(Soon);
        await using (await ByteStream.StartUnixServerAsync(Echo, path, cancellationToken: Soon))
        {
            await Patience.UntilAsync(() => monitor.Endpoints()[0].Upstreams.Any(upstream => upstream.IsHealthy));
            Assert.Equal(HealthStatus.Healthy, (await checks.CheckHealthAsync(Soon)).Status);
        }

        Assert.Equal(readiness == "true" ? HealthStatus.Unhealthy : HealthStatus.Healthy, down.Status);
        Assert.Equal(readiness == "true" ? "No upstream is up: front." : null, Assert.Single(down.Entries).Value.Description);
        await front.StopAsync(Soon);
    }

    [Fact]
    public async Task Connection_DefaultsAndConfiguration_AreOnTheSocket()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "TCP_USER_TIMEOUT is of Linux.");
        using IHost front = Configured(
            ("front:Url", "tcp://127.0.0.1:0"),
            ("front:Handler", "relay"),
            ("front:Relay:Upstreams", "tcp://127.0.0.1:1"),
            ("front:Relay:Connection:KeepAliveTime", "30s"),
            ("back:Url", "tcp://127.0.0.1:0"),
            ("back:Handler", "echo"),
            ("back:TcpUserTimeout", "7s"));
        await front.StartAsync(Soon);
        ByteStreamServers servers = front.Services.GetRequiredService<ByteStreamServers>();
        ByteStreamClientOptions options = servers.GetDefinition("front")!.Relay!.Connection;
        Assert.Equal(TimeSpan.FromSeconds(7), servers.GetDefinition("back")!.Options.TcpUserTimeout);

        await using ByteStreamConnection upstream = await ByteStream.OpenConnectionAsync(servers["back"].EndPoints[0], options, Soon);

        Socket socket = upstream.Writer.Transport!.Features.Get<IConnectionSocketFeature>()!.Socket;
        Assert.Equal(
            (1, 30, 10, 300_000),
            (Option(1, 9), Option(6, 4), Option(6, 5), Option(6, 18)));
        await front.StopAsync(Soon);

        int Option(int level, int name)
        {
            byte[] value = new byte[sizeof(int)];
            socket.GetRawSocketOption(level, name, value);
            return BitConverter.ToInt32(value);
        }
    }

    private static IHost Configured(params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(
            settings.Select(setting => new KeyValuePair<string, string?>($"ByteStreams:Endpoints:{setting.Key}", setting.Value)));
        builder.Services.AddFakeLogging();
        builder.Services.AddHealthChecks().AddByteStreams();
        builder.Services.AddByteStreams()
            .AddHandler("echo", Echo)
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        return builder.Build();
    }
}

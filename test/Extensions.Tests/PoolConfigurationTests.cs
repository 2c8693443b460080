using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Options;

namespace ByteStreams.Extensions.Tests;

/// <summary>Options from configuration and their errors, service discovery, metrics and activities.</summary>
public sealed class PoolConfigurationTests : PoolTest
{
    [Fact]
    public void Options_FromConfiguration_OverrideTheDefaultsAndCodeOverridesThem()
    {
        ServiceProvider provider = Provide("tcp://elsewhere:1", client => client.Configure(options => options.MaxConnections = 5), new Dictionary<string, string?>
        {
            ["ByteStreamClients:echo:Url"] = "tls://orders.example:7443",
            ["ByteStreamClients:echo:MaxConnections"] = "3",
            ["ByteStreamClients:echo:acquireTimeout"] = "2s",
            ["ByteStreamClients:echo:ConnectRetries"] = "0",
            ["ByteStreamClients:echo:MaxIdleTime"] = "infinite",
            ["ByteStreamClients:echo:MaxLifetime"] = "00:10:00",
        });

        ByteStreamPoolOptions options = provider.GetRequiredService<IOptionsMonitor<ByteStreamPoolOptions>>().Get("echo");

        Assert.Equal("tls://orders.example:7443", options.Url);
        Assert.Equal((5, 0), (options.MaxConnections, options.ConnectRetries));
        Assert.Equal(
            (TimeSpan.FromSeconds(2), Timeout.InfiniteTimeSpan, TimeSpan.FromMinutes(10)), (options.AcquireTimeout, options.MaxIdleTime, options.MaxLifetime));
    }

    [Fact]
    public void Options_SeveralErrors_AreReportedAtOnceWithKeyCauseAndRemedy()
    {
        ServiceProvider provider = Provide(null, null, new Dictionary<string, string?>
        {
            ["ByteStreamClients:echo:Url"] = "ftp://host",
            ["ByteStreamClients:echo:MaxConnections"] = "many",
            ["ByteStreamClients:echo:ConnectRetries"] = "101",
            ["ByteStreamClients:echo:AcquireTimeout"] = "30",
            ["ByteStreamClients:echo:RetryDelay"] = "10s",
            ["ByteStreamClients:echo:MaxConections"] = "3",
            ["ByteStreamClients:echo:MaxIdleTime:Seconds"] = "3",
        });

        OptionsValidationException error = Assert.Throws<OptionsValidationException>(
            () => provider.GetRequiredService<IStartupValidator>().Validate());

        string[] failures = [.. error.Failures.Order(StringComparer.Ordinal)];
        Assert.Equal(
            [
                "ByteStreamClients:echo:AcquireTimeout is '30': it is not a time. Write a number with a unit, such as 500ms, 30s or 5m, or hh:mm:ss. Or write infinite.",
                "ByteStreamClients:echo:ConnectRetries is 101: it is out of range. Set 0 to 100.",
                "ByteStreamClients:echo:MaxConections is not a key. The keys are AcquireTimeout, ConnectRetries, ConnectTimeout, HealthCheckAfter, MaxConnections, MaxIdleTime, MaxLifetime, MaxRetryDelay, RetryDelay, Url.",
                "ByteStreamClients:echo:MaxConnections is 'many': it is not a whole number. Write decimal digits.",
                "ByteStreamClients:echo:MaxIdleTime has no value. Write one value.",
                "ByteStreamClients:echo:MaxRetryDelay is 00:00:05: it is less than RetryDelay (00:00:10). Raise it, or lower RetryDelay.",
            ],
            failures[..6]);
        Assert.StartsWith("ByteStreamClients:echo:Url 'ftp://host' ", failures[6], StringComparison.Ordinal);
        Assert.Equal(7, failures.Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a:b")]
    public void Add_NameIsEmptyOrHasAColon_IsAnArgumentException(string name) =>
        Assert.Throws<ArgumentException>(nameof(name), () => new ServiceCollection().AddByteStreamClient(name, "tcp://host:1"));

    [Fact]
    public async Task UseServiceDiscovery_SeveralAddresses_AreTakenInTurn()
    {
        ByteStreamServer first = await StartAsync(Answer(1));
        ByteStreamServer second = await StartAsync(Answer(2));
        ServiceProvider provider = Provide("tcp://orders", client => client.UseServiceDiscovery(), new Dictionary<string, string?>
        {
            ["Services:orders:tcp:0"] = $"tcp://{first.EndPoints[0]}",
            ["Services:orders:tcp:1"] = $"tcp://{second.EndPoints[0]}",
        });
        var pool = provider.GetRequiredKeyedService<ByteStreamPool>("echo");
        await using ByteStreamLease one = await pool.RentAsync(Test);
        await using ByteStreamLease other = await pool.RentAsync(Test);

        byte[] answers = [await AskAsync(one), await AskAsync(other)];

        Assert.Equal<byte>([1, 2], [.. answers.Order()]);

        static ByteStreamDelegate Answer(byte answer) => async (reader, writer, stopping) =>
        {
            await reader.ReadFrameAsync(Frames, stopping);
            writer.WriteFrame(Frames, [answer]);
        };

        async Task<byte> AskAsync(ByteStreamLease lease)
        {
            lease.Writer.WriteFrame(Frames, [0]);
            return (await lease.Reader.ReadFrameAsync(Frames, Test))![0];
        }
    }

    [Fact]
    public async Task UseServiceDiscovery_NoAddressForTheName_FailsWithTheRemedy()
    {
        ServiceProvider provider = Provide("tcp://orders", client => client.UseServiceDiscovery().Configure(options => options.ConnectRetries = 0));

        IOException error = await Assert.ThrowsAsync<IOException>(
            () => provider.GetRequiredKeyedService<ByteStreamPool>("echo").RentAsync(Test).AsTask());

        Assert.Contains("Add the port", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metrics_ConnectionsOpenedReturnedAndClosed_AreCounted()
    {
        ByteStreamServer server = await StartAsync();
        ServiceProvider provider = Provide(Url(server));
        var pool = provider.GetRequiredKeyedService<ByteStreamPool>("echo");
        var factory = provider.GetRequiredService<IMeterFactory>();
        using var connections = new MetricCollector<long>(factory, "ByteStreams.Client", "bytestreams.client.open_connections");
        using var connects = new MetricCollector<double>(factory, "ByteStreams.Client", "bytestreams.client.connect.duration");
        using var closed = new MetricCollector<long>(factory, "ByteStreams.Client", "bytestreams.client.closed_connections");

        await AskAsync(pool, [1]);

        CollectedMeasurement<double> connect = Assert.Single(connects.GetMeasurementSnapshot());
        Assert.Equal("echo", connect.Tags["bytestreams.client.name"]);
        Assert.Equal("127.0.0.1", connect.Tags["server.address"]);
        Assert.Equal(((IPEndPoint)server.EndPoints[0]).Port, connect.Tags["server.port"]);
        Assert.Equal((0, 1), (Sum("used"), Sum("idle")));
        await pool.DisposeAsync();
        Assert.Equal((0, 0), (Sum("used"), Sum("idle")));
        Assert.Equal("disposed", Assert.Single(closed.GetMeasurementSnapshot()).Tags["bytestreams.client.close_reason"]);

        long Sum(string state) => connections.GetMeasurementSnapshot()
            .Where(measurement => Equals(measurement.Tags["bytestreams.client.connection.state"], state)).Sum(measurement => measurement.Value);
    }

    [Fact]
    public async Task Activities_ExchangeWithConnect_HaveTheServerAndTheError()
    {
        var activities = new List<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "ByteStreams.Client",
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                // Other tests run at the same time.
                if (Equals(activity.GetTagItem("server.address"), "localhost"))
                {
                    lock (activities)
                    {
                        activities.Add(activity);
                    }
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        ByteStreamServer server = await StartAsync();
        int port = ((IPEndPoint)server.EndPoints[0]).Port;
        ByteStreamPool pool = Pool($"tcp://localhost:{port}");

        await AskAsync(pool, [1]);
        await Assert.ThrowsAsync<FormatException>(() => pool.ExecuteAsync<int, int>(0, static (_, _, _) => throw new FormatException(), Test));

        Assert.Equal(["bytestreams.client.connect", "bytestreams.client.exchange", "bytestreams.client.exchange"], activities.Select(activity => activity.OperationName));
        Assert.Equal(activities[1].SpanId, activities[0].ParentSpanId);
        Assert.Equal(port, activities[0].GetTagItem("server.port"));
        Assert.Equal("tcp", activities[0].GetTagItem("network.transport"));
        Assert.Equal("127.0.0.1", activities[0].GetTagItem("network.peer.address")?.ToString()?.Replace("::ffff:", "", StringComparison.Ordinal));
        Assert.Equal("System.FormatException", activities[2].GetTagItem("error.type"));
        Assert.Equal(ActivityStatusCode.Error, activities[2].Status);
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Telemetry;

/// <summary>What is open at the moment, and how one of it is ended from outside.</summary>
public sealed class MonitorTests : ServedTest
{
    [Theory, MemberData(nameof(Carriers))]
    public async Task Connections_OneIsOpen_HasItsMetadata(Carrier carrier)
    {
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(carrier, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = "front"));
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        await UntilSentAsync(monitor, 6);

        ConnectionSnapshot open = Assert.Single(monitor.Connections());

        Assert.Equal("front", open.Endpoint);
        Assert.Equal(connection.Writer.LocalEndPoint!.ToString(), open.Peer!.ToString());
        Assert.Equal((6L, 6L), (open.BytesReceived, open.BytesSent));
        Assert.Equal(ConnectionCloseReason.None, open.CloseReason);
        Assert.Null(open.Proxy);
        Assert.Equal(1, monitor.Active);
        Assert.True(monitor.TryGetConnection(open.Id, out ConnectionSnapshot? same));
        Assert.Equal(open.Number, same.Number);
        await connection.DisposeAsync();
        FakeLogRecord summary = Assert.Single(await served.WaitForSummariesAsync(1));
        Assert.Equal(open.Id, summary.GetStructuredStateValue("ConnectionId"));
        Assert.Empty(monitor.Connections());
        Assert.False(monitor.TryGetConnection(open.Id, out _));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connections_ThroughAProxy_NamesTheClientAndTheProxy(Carrier carrier)
    {
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(
            carrier, builder => builder.UseTelemetry().UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8")));
        var header = new ProxyHeader
        {
            Source = IPEndPoint.Parse("192.0.2.7:51324"),
            Destination = IPEndPoint.Parse("192.0.2.1:443"),
            Tlvs = [new ProxyTlv(ProxyTlv.Authority, "echo.example"u8.ToArray())],
        };
        ByteStreamConnection connection = await ConnectAsync(served, options => options.ProxyHeader = header);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));

        ConnectionSnapshot open = Assert.Single(monitor.Connections());

        Assert.Equal("192.0.2.7:51324", open.Peer!.ToString());
        Assert.Equal(connection.Writer.LocalEndPoint!.ToString(), open.Proxy!.ToString());
        Assert.Equal("echo.example", open.ServerName);
    }

    [Fact]
    public async Task Connections_MoreThanTheLimit_ContinueAfterTheLastOneAlsoWhenItIsClosed()
    {
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(Carrier.Own, builder => builder.UseTelemetry());
        var connections = new List<ByteStreamConnection>();
        for (int i = 0; i < 5; i++)
        {
            connections.Add(await ConnectAsync(served));
            Assert.Equal("hello\n", await AskAsync(connections[i], "hello\n"));
        }

        string[] newestFirst = [.. Enumerable.Reverse(connections).Select(connection => connection.Writer.LocalEndPoint!.ToString()!)];
        IReadOnlyList<ConnectionSnapshot> first = monitor.Connections(limit: 2);
        await connections[3].DisposeAsync();
        await served.WaitForSummariesAsync(1);
        IReadOnlyList<ConnectionSnapshot> second = monitor.Connections(limit: 2, before: first[^1].Number);
        IReadOnlyList<ConnectionSnapshot> third = monitor.Connections(limit: 2, before: second[^1].Number);

        Assert.Equal(newestFirst, first.Concat(second).Concat(third).Select(connection => connection.Peer!.ToString()!));
        Assert.Single(third);
        Assert.Throws<ArgumentOutOfRangeException>(() => monitor.Connections(limit: 0));
    }

    [Fact]
    public async Task Connections_OfSeveralEndpoints_AreInOneOrderOrOfOneAlone()
    {
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(Carrier.Own, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = "one"));
        Served other = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = "two"), Echo, configure: services =>
            services.AddSingleton(served.Metrics));
        foreach (Served each in (Served[])[served, other, served])
        {
            Assert.Equal("hello\n", await AskAsync(await ConnectAsync(each), "hello\n"));
        }

        Assert.Equal(["one", "two", "one"], monitor.Connections().Select(connection => connection.Endpoint));
        Assert.Equal(["one", "two"], monitor.Connections(limit: 2).Select(connection => connection.Endpoint));
        Assert.Equal("two", Assert.Single(monitor.Connections(endpoint: "TWO")).Endpoint);
        Assert.Empty(monitor.Connections(endpoint: "three"));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Abort_OpenConnection_EndsItWithOneReasonEverywhere(Carrier carrier)
    {
        string name = $"aborted-{carrier}";
        var traced = new TaskCompletionSource<Activity>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "ByteStreams",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity => _ = Equals(activity.GetTagItem("bytestreams.endpoint"), name) && traced.TrySetResult(activity),
        };
        ActivitySource.AddActivityListener(listener);
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(carrier, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = name));
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        string id = monitor.Connections()[0].Id;

        Assert.False(monitor.Abort("no such id"));
        Assert.True(monitor.Abort(id));

        Assert.IsType<ConnectionResetException>(await Record.ExceptionAsync(async () => await connection.Reader.ReadAsync(cancellationToken: Soon)));
        FakeLogRecord summary = Assert.Single(await served.WaitForSummariesAsync(1));
        Assert.Equal("closed_by_operator", summary.GetStructuredStateValue("Reason"));
        Assert.Equal("closed_by_operator", (await traced.Task.WaitAsync(Soon)).GetTagItem("bytestreams.close_reason"));
        EndpointSnapshot endpoint = Assert.Single(monitor.Endpoints());
        Assert.Equal(1, endpoint.Ended[ConnectionCloseReason.ClosedByOperator]);
        Assert.False(monitor.Abort(id));
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Abort_ConnectionHasEndedAndItsHandlerHasNot_IsFoundAsItIsListed()
    {
        var left = new TaskCompletionSource();
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (reader, writer, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            writer.Abort();
            await left.Task;
        });
        var monitor = new ByteStreamMonitor(new ByteStreamServers(), served.Metrics);
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write("abort\n");
        Assert.IsType<ConnectionResetException>(await Record.ExceptionAsync(async () => await connection.Reader.ReadAsync(cancellationToken: Soon)));

        ConnectionSnapshot listed = Assert.Single(monitor.Connections());
        Assert.NotEqual(ConnectionCloseReason.None, listed.CloseReason);
        Assert.True(monitor.Abort(listed.Id));

        left.SetResult();
        Assert.Equal("aborted", Assert.Single(await served.WaitForSummariesAsync(1)).GetStructuredStateValue("Reason"));
        Assert.False(monitor.Abort(listed.Id));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task ConnectionEnded_WithASubscriber_HasTheReason(Carrier carrier)
    {
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(carrier, builder => builder.UseTelemetry());
        var ended = new ConcurrentQueue<ConnectionSnapshot>();
        monitor.ConnectionEnded += ended.Enqueue;
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        await connection.DisposeAsync();
        await served.WaitForSummariesAsync(1);
        monitor.ConnectionEnded -= ended.Enqueue;
        await (await ConnectAsync(served)).DisposeAsync();
        await served.WaitForSummariesAsync(2);

        ConnectionSnapshot told = Assert.Single(ended);
        Assert.Equal(ConnectionCloseReason.ClosedByPeer, told.CloseReason);
        Assert.Equal(6, told.BytesReceived);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Idle_NothingComes_GrowsUntilSomethingDoes(Carrier carrier)
    {
        var time = new FakeTimeProvider();
        (Served served, ByteStreamMonitor monitor) = await MonitorAsync(carrier, builder => builder.UseTelemetry().UseTimeouts(), time);
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));

        await UntilSentAsync(monitor, 6);

        // The heartbeat sees the line a second later.
        time.Advance(TimeSpan.FromSeconds(1));
        time.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(TimeSpan.FromSeconds(9), Assert.Single(monitor.Connections()).Idle);
        Assert.Equal(TimeSpan.FromSeconds(10), Assert.Single(monitor.Connections()).Age);

        Assert.Equal("more\n", await AskAsync(connection, "more\n"));
        Assert.Equal(TimeSpan.Zero, Assert.Single(monitor.Connections()).Idle);
    }

    [Fact]
    public async Task Endpoints_Configured_HaveTheirSettingsAndCounts()
    {
        using IHost host = new HostBuilder()
            .ConfigureAppConfiguration(configuration => configuration.AddInMemoryCollection(new Dictionary<string, string?>
            {
                ["ByteStreams:Endpoints:one:Url"] = "tcp://127.0.0.1:0",
                ["ByteStreams:Endpoints:one:Handler"] = "echo",
                ["ByteStreams:Endpoints:one:Admission:MaxConnections"] = "1",
                ["ByteStreams:Endpoints:two:Url"] = "tcp://127.0.0.1:0",
                ["ByteStreams:Endpoints:two:Handler"] = "relay",
                ["ByteStreams:Endpoints:two:Relay:Upstreams"] = "tcp://127.0.0.1:1",
            }))
            .ConfigureServices((context, services) => services.AddByteStreams().AddHandler("echo", Echo).LoadFromConfig(context.Configuration.GetSection("ByteStreams")))
            .Build();
        await host.StartAsync(Soon);
        ByteStreamMonitor monitor = host.Services.GetRequiredService<ByteStreamMonitor>();
        EndPoint endPoint = host.Services.GetRequiredService<ByteStreamServers>()["one"].EndPoints[0];
        ByteStreamConnection connection = await ConnectAsync(endPoint);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        await AssertRefusedAsync(endPoint);
        await Patience.UntilAsync(() => monitor.Endpoints()[0].Refused, now => now == 1);
        await UntilSentAsync(monitor, 6);

        IReadOnlyList<EndpointSnapshot> endpoints = monitor.Endpoints();

        Assert.Equal(["one", "two"], endpoints.Select(endpoint => endpoint.Name));
        Assert.Equal(("tcp://127.0.0.1:0", "echo", true), (endpoints[0].Url, endpoints[0].Handler, endpoints[0].IsServing));
        Assert.Equal(endPoint, Assert.Single(endpoints[0].Addresses));
        Assert.Equal((1, 2L, 6L, 6L), (endpoints[0].Active, endpoints[0].Accepted, endpoints[0].BytesReceived, endpoints[0].BytesSent));
        Assert.Equal([new(ConnectionCloseReason.RefusedEndpoint, 1L)], endpoints[0].Ended);
        Assert.Equal([new UpstreamSnapshot("tcp://127.0.0.1:1", 0, IsHealthy: true, IsEjected: false)], endpoints[1].Upstreams);
        Assert.Equal(0, endpoints[1].Accepted);
        await host.StopAsync(Soon);
    }

    [Fact]
    public async Task AddCheck_Error_IsReportedWithTheEndpoints()
    {
        using IHost host = new HostBuilder()
            .ConfigureServices(services => services.AddByteStreams().AddEndpoint("a", "tcp://x", "none").AddCheck(errors => errors.Add("Other:Key: is wrong.")))
            .Build();

        EndpointConfigurationException errors = await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Soon));

        Assert.Equal("Other:Key: is wrong.", errors.Errors[0]);
        Assert.Contains(errors.Errors, error => error.Contains(":Url: 'tcp://x' has no port.", StringComparison.Ordinal));
    }

    [Fact]
    public void ConnectionId_AskedForFromSeveralThreadsAtOnce_IsOne()
    {
        for (int i = 0; i < 300; i++)
        {
            (ByteStreamConnection first, _) = ByteStream.CreatePair();
            var ids = new ConcurrentBag<string>();
            using var begin = new Barrier(2);
            Thread[] threads = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() =>
            {
                begin.SignalAndWait(Soon);
                ids.Add(first.Writer.Transport!.ConnectionId);
            }))];
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());

            Assert.Single(ids.Distinct());
        }
    }

    /// <summary>The peer may have an answer before this side has counted that it was sent.</summary>
    private static Task<long> UntilSentAsync(ByteStreamMonitor monitor, long bytes) => Patience.UntilAsync(() => monitor.Connections()[0].BytesSent, now => now == bytes);

    private async Task<(Served Served, ByteStreamMonitor Monitor)> MonitorAsync(Carrier carrier, Action<IConnectionBuilder> surround, TimeProvider? time = null)
    {
        Served served = await ServeAsync(carrier, surround, Echo, time);
        return (served, new ByteStreamMonitor(new ByteStreamServers(), served.Metrics));
    }
}

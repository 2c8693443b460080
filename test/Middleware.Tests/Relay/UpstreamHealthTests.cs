using System.Net;
using ByteStreams.Relay;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>Health checks and name resolution of upstreams.</summary>
public sealed class UpstreamHealthTests : RelayTest
{
    [Fact]
    [Trait("Fault", "F72")]
    public async Task HealthCheck_NoDescriptorForIt_ChangesNothing_F72()
    {
        var time = new FakeTimeProvider();
        var options = new RelayOptions
        {
            HealthCheckInterval = TimeSpan.FromSeconds(1),
            HealthCheckTimeout = TimeSpan.FromMinutes(1),
            UnhealthyAfter = 1,
            Connection = { TimeProvider = time, Descriptors = new DescriptorLimit(0) },
        };
        options.Upstreams.Add($"tcp://127.0.0.1:{RefusingPort()}");
        using var relay = new ByteStreamRelay(options, LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(Log))));
        using var other = new ByteStreamRelay(
            new RelayOptions
            {
                HealthCheckInterval = TimeSpan.FromSeconds(1),
                UnhealthyAfter = 20,
                Connection = { TimeProvider = time },
                Upstreams = { options.Upstreams[0] },
            },
            LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(Log))));

        // Twenty checks that fail at once: of those that wait a second for a descriptor several have ended by then.
        await AdvanceUntilAsync(time, () => !other.Upstreams.All[0].IsHealthy);

        Assert.True(relay.Upstreams.All[0].IsHealthy);
    }

    [Fact]
    public async Task HealthCheck_UpstreamComesAndGoes_IsFollowed()
    {
        var time = new FakeTimeProvider();
        string path = Path.Combine(FolderPath, "checked.sock");
        var options = new RelayOptions { HealthCheckInterval = TimeSpan.FromSeconds(1), UnhealthyAfter = 2, HealthyAfter = 2, Connection = { TimeProvider = time } };
        options.Upstreams.Add($"unix:{path}");
        using var relay = new ByteStreamRelay(options, LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(Log))));
        Upstream upstream = relay.Upstreams.All[0];
        Assert.True(upstream.IsHealthy);

        await AdvanceUntilAsync(time, () => !upstream.IsHealthy);
        int checks = 0;
        await ServeUpstreamAsync(
            "unix",
            async (reader, writer, stopping) =>
            {
                byte[] line = await reader.ReadLineAsync(stopping);
                writer.Write(line);
                if (line is [])
                {
                    // Who checks only connects.
                    Interlocked.Increment(ref checks);
                }
            },
            path);
        await AdvanceUntilAsync(time, () => Log.GetSnapshot().Any(record => record.Id.Id == 654));

        Assert.True(upstream.IsHealthy);
        Assert.Equal([653, 654], Log.GetSnapshot().Select(record => record.Id.Id).Where(id => id is 653 or 654));

        // A relay that has ended looks no more, but for the look it is at.
        await Patience.UntilAsync(() => Volatile.Read(ref checks), now => now >= 2);
        relay.Dispose();
        for (int i = 0; i < 10; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            await using ByteStreamConnection own = await ByteStream.OpenUnixConnectionAsync(path, cancellationToken: Soon);
            Assert.Equal("1\n", await AskAsync(own, "1\n"));
        }

        Assert.InRange(Volatile.Read(ref checks), 2, 5);
    }

    [Fact]
    public async Task Resolve_NameHasAnotherAddressLater_NewConnectionsGoThereAndOldOnesStay()
    {
        var time = new FakeTimeProvider();
        var options = new ByteStreamServerOptions();
        ByteStreamServer everywhere = await ByteStream.StartServerAsync(
            async (reader, writer, stopping) =>
            {
                while (await reader.ReadLineAsync(stopping) is { Length: > 0 })
                {
                    writer.Write($"{((IPEndPoint)writer.LocalEndPoint!).Address}\n");
                }
            },
            "0.0.0.0", 0, options, Soon);
        Own((IAsyncDisposable)everywhere);
        int port = ((IPEndPoint)everywhere.EndPoints[0]).Port;
        IPAddress[] addresses = [IPAddress.Loopback];
        int lookups = 0;
        var relayOptions = new RelayOptions { Upstreams = { $"tcp://app.test:{port}" }, Connection = { TimeProvider = time } };
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(Log)));
        ByteStreamRelay relay = Own(new ByteStreamRelay(relayOptions, loggers, null, string.Empty, (host, _, _) =>
        {
            Assert.Equal("app.test", host);
            IPAddress[] found = Volatile.Read(ref addresses);
            Interlocked.Increment(ref lookups);
            return found.Length > 0 ? Task.FromResult<IReadOnlyList<IPAddress>>(found) : throw new IOException("The resolver is away.");
        }));
        EndPoint endPoint = await StartAsync("tcp", relay.ServeAsync, new ByteStreamServerOptions(), null);
        ByteStreamConnection first = await ConnectAsync("tcp", endPoint);
        Assert.Equal("127.0.0.1\n", await AskAsync(first, "where\n"));
        Assert.Equal(1, lookups);

        Volatile.Write(ref addresses, [IPAddress.Parse("127.0.0.2")]);
        time.Advance(TimeSpan.FromSeconds(29));
        Assert.Equal(1, lookups);
        time.Advance(TimeSpan.FromSeconds(1));
        // The lookup is on its way: until it has answered, connections go where they went.
        while (await AskAsync(await ConnectAsync("tcp", endPoint), "where\n") is string where && where != "127.0.0.2\n")
        {
            Assert.Equal("127.0.0.1\n", where);
        }

        Assert.Equal("127.0.0.1\n", await AskAsync(first, "where\n"));

        // A resolver that fails changes nothing, and is told.
        Volatile.Write(ref addresses, []);
        time.Advance(TimeSpan.FromSeconds(30));
        await Patience.UntilAsync(() => Log.GetSnapshot().Any(record => record.Id.Id == 655));
        Assert.Equal("127.0.0.2\n", await AskAsync(await ConnectAsync("tcp", endPoint), "where\n"));
    }
}

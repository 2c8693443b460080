using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Transport;
using ByteStreams.Transport.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>
/// Accepts that fail. The errors are injected: a process that really runs out of descriptors takes its own test runner with it,
/// and belongs to a test that starts the host.
/// </summary>
public sealed class AcceptTests : IDisposable
{
    private const SocketError OutOfMemory = SocketError.SocketError;

    private readonly CountingTimeProvider _time = new();
    private readonly FakeLogCollector _collector;
    private readonly ILoggerFactory _logs;
    private int _accepts;

    public AcceptTests() => _logs = Given.Logs(out _collector);

    public void Dispose() => _logs.Dispose();

    [Theory]
    [InlineData(SocketError.TooManyOpenSockets)]
    [InlineData(SocketError.NoBufferSpaceAvailable)]
    [InlineData(OutOfMemory)]
    [Trait("Fault", "F11")]
    [Trait("Fault", "F12")]
    public async Task Accept_DuringShortage_TriesTenTimesASecondAndLogsOnce(SocketError error)
    {
        await using ServiceProvider services = new ServiceCollection()
            .AddMetrics().AddSingleton(provider => new ByteStreamMetrics(provider.GetRequiredService<IMeterFactory>())).BuildServiceProvider();
        using var errors = new MetricCollector<long>(services.GetRequiredService<IMeterFactory>(), ByteStreamMetrics.MeterName, "bytestreams.accept_errors");
        await using SocketListener listener = Listen(_ => throw new SocketException((int)error), services);
        string endPoint = listener.EndPoint.ToString()!;
        ValueTask<ConnectionContext?> accept = listener.AcceptAsync(TestContext.Current.CancellationToken);
        Assert.Equal(1, _accepts);
        for (int i = 1; i <= 50; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            await Patience.UntilAsync(() => Volatile.Read(ref _accepts) == i + 1 && _time.Timers == i + 1);
        }

        // Nothing more without the clock.
        await Task.Yield();
        Assert.Equal(51, _accepts);
        FakeLogRecord[] lines = [.. _collector.AtLeast(LogLevel.Warning)];
        Assert.InRange(lines.Length, 5, 6);
        Assert.Contains(error.ToString(), lines[1].Message, StringComparison.Ordinal);
        Assert.Contains(" 10 times", lines[1].Message, StringComparison.Ordinal);
        IReadOnlyList<CollectedMeasurement<long>> counted = errors.GetMeasurementSnapshot();
        Assert.All(counted, each => Assert.Equal((endPoint, error.ToString()), ((string?)each.Tags["bytestreams.endpoint"], (string?)each.Tags["error.type"])));
        Assert.Equal(51, counted.Sum(each => each.Value));
        await listener.UnbindAsync(TestContext.Current.CancellationToken);
        Assert.Null(await accept.Soon());
    }

    [Fact]
    [Trait("Fault", "F11")]
    public async Task Accept_ShortageOver_GoesOnWithinASecond()
    {
        var failing = true;
        (Socket near, Socket far) = await ConnectedPair();
        using (near)
        {
            await using SocketListener listener = Listen(_ => failing ? throw new SocketException((int)SocketError.TooManyOpenSockets) : new(new SocketChannel(far)));
            ValueTask<ConnectionContext?> accept = listener.AcceptAsync(TestContext.Current.CancellationToken);
            failing = false;
            _time.Advance(TimeSpan.FromMilliseconds(100));
            ConnectionContext? connection = await accept.Soon();
            Assert.Equal(near.LocalEndPoint, connection!.RemoteEndPoint);
            connection.Abort();
        }
    }

    [Fact]
    [Trait("Fault", "F12")]
    [Trait("Contract", "S9")]
    public async Task Accept_ClientsThatHaveLeft_CostNoWaitAndNoWarning()
    {
        int left = 100;
        (Socket near, Socket far) = await ConnectedPair();
        using (near)
        {
            await using SocketListener listener = Listen(_ => left-- > 0 ? throw new SocketException((int)SocketError.ConnectionAborted) : new(new SocketChannel(far)));
            ConnectionContext? connection = await listener.AcceptAsync(TestContext.Current.CancellationToken).Soon();
            Assert.NotNull(connection);
            connection.Abort();
        }

        Assert.Empty(_collector.AtLeast(LogLevel.Warning));
        Assert.Single(_collector.GetSnapshot());
    }

    [Fact]
    [Trait("Fault", "F12")]
    public async Task Accept_NothingButConnectionAborted_DoesNotSpin()
    {
        await using SocketListener listener = Listen(_ => throw new SocketException((int)SocketError.ConnectionAborted));
        ValueTask<ConnectionContext?> accept = listener.AcceptAsync(TestContext.Current.CancellationToken);
        Assert.Equal(101, _accepts);
        for (int i = 1; i <= 20; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            await Patience.UntilAsync(() => Volatile.Read(ref _accepts) == 101 + i && _time.Timers == 1 + i);
        }

        Assert.InRange(_collector.Count, 2, 3);
        await listener.UnbindAsync(TestContext.Current.CancellationToken);
        Assert.Null(await accept.Soon());
    }

    [Fact]
    [Trait("Fault", "F11")]
    public async Task Close_DuringShortage_EndsAtOnce()
    {
        await using SocketListener listener = Listen(_ => throw new SocketException((int)SocketError.TooManyOpenSockets));
        ValueTask<ConnectionContext?> accept = listener.AcceptAsync(TestContext.Current.CancellationToken);
        await listener.UnbindAsync(TestContext.Current.CancellationToken);
        Assert.Null(await accept.Soon());
        Assert.Equal(1, _accepts);
    }

    [Fact]
    [Trait("Fault", "F11")]
    [Trait("Fault", "F72")]
    public async Task Accept_DescriptorsAtTheStop_ResetsEachAtOnceAndLogsOnceASecond()
    {
        await using ServiceProvider services = new ServiceCollection()
            .AddMetrics().AddSingleton(provider => new ByteStreamMetrics(provider.GetRequiredService<IMeterFactory>())).BuildServiceProvider();
        using var rejected = new MetricCollector<long>(services.GetRequiredService<IMeterFactory>(), ByteStreamMetrics.MeterName, "bytestreams.rejected_connections");
        EndpointCounters counted = services.GetRequiredService<ByteStreamMetrics>().Endpoint("echo");
        await using SocketListener listener = SocketListener.Bind(
            new IPEndPoint(IPAddress.Loopback, 0),
            new ByteStreamServerOptions { Name = "echo", TimeProvider = _time, ApplicationServices = services, Descriptors = new DescriptorLimit(0) },
            _logs.CreateLogger("test"));
        listener.Listen();
        Task<ConnectionContext?> accept = listener.AcceptAsync(TestContext.Current.CancellationToken).AsTask();
        for (int second = 0; second < 3; second++)
        {
            for (int i = 0; i < 10; i++)
            {
                using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                SocketException reset = await Assert.ThrowsAsync<SocketException>(async () =>
                {
                    await client.ConnectAsync(listener.EndPoint, TestContext.Current.CancellationToken).Soon();
                    await client.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken).Soon();
                });
                Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
            }

            await Patience.UntilAsync(() => counted.Snapshot().Refused, now => now == 10 * (second + 1));
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        rejected.RecordObservableInstruments();
        CollectedMeasurement<long> measured = Assert.Single(rejected.GetMeasurementSnapshot());
        Assert.Equal(("echo", "refused_descriptors", 30), ((string?)measured.Tags["bytestreams.endpoint"], (string?)measured.Tags["bytestreams.close_reason"], measured.Value));
        Assert.Equal((30, 30, 0), (counted.Snapshot().Accepted, counted.Snapshot().Refused, counted.Snapshot().Active));
        FakeLogRecord[] lines = [.. _collector.AtLeast(LogLevel.Warning)];
        Assert.Equal(3, lines.Length);
        Assert.Contains(": 1 connections refused", lines[0].Message, StringComparison.Ordinal);
        Assert.All(lines[1..], line => Assert.Contains(": 10 connections refused", line.Message, StringComparison.Ordinal));
        Assert.False(accept.IsCompleted);
        await listener.UnbindAsync(TestContext.Current.CancellationToken);
        Assert.Null(await accept.Soon());
    }

    private SocketListener Listen(Func<CancellationToken, ValueTask<SocketByteChannel?>> accept, IServiceProvider? services = null) => SocketListener.Bind(
        new IPEndPoint(IPAddress.Loopback, 0),
        new ByteStreamServerOptions { TimeProvider = _time, ApplicationServices = services ?? new ServiceCollection().BuildServiceProvider() },
        _logs.CreateLogger("test"),
        token =>
        {
            Interlocked.Increment(ref _accepts);
            return accept(token);
        });

    private static async Task<(Socket Near, Socket Far)> ConnectedPair()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var near = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await near.ConnectAsync(listener.LocalEndPoint!).Soon();
        return (near, await listener.AcceptAsync().Soon());
    }
}

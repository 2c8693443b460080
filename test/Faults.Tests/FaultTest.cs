using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Middleware.Tests;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]

namespace ByteStreams.Faults.Tests;

/// <summary>
/// A row of the matrix, on real sockets: the row's own outcome, and behind it the common one. A canary echo answers within a second;
/// open sockets, live connections and pooled memory are where they were; each connection has left one summary line, with the right reason.
/// </summary>
public abstract class FaultTest : ServedTest
{
    /// <summary>The most that a server may take to release what a fault's connections held.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(15);

    private Served? _canary;
    private PooledMemory? _pooled;
    private int _sockets;

    protected FaultTest() => Assert.SkipUnless(OperatingSystem.IsLinux(), "Descriptors are counted in /proc.");

    /// <summary>The most bytes that were out of the pool at once since the row began.</summary>
    protected long PooledPeak => _pooled!.Peak;

    /// <summary>Bytes that are out of the pool and were not when the row began.</summary>
    protected long PooledBytes => _pooled!.Bytes;

    /// <summary>Serves the row's handler behind telemetry, and notes how everything is before the fault.</summary>
    private protected async Task<Served> BeginAsync(
        ByteStreamDelegate handler, Action<IConnectionBuilder>? surround = null, EndPoint? endPoint = null, TimeProvider? time = null)
    {
        _canary = await ServeAsync(Carrier.Own, _ => { }, Echo);
        Served served = await ServeAsync(
            Carrier.Own,
            builder =>
            {
                builder.UseTelemetry(telemetry => telemetry.Endpoint = "row");
                surround?.Invoke(builder);
            },
            handler,
            time,
            endPoint);
        // What is made once for a process is made now.
        await AskCanaryAsync();
        _sockets = await SettledSocketsAsync();
        _pooled = new PooledMemory();
        Own((IDisposable)_pooled);
        return served;
    }

    /// <summary>The common outcome.</summary>
    /// <param name="served">What <see cref="BeginAsync"/> began.</param>
    /// <param name="reasons">The reason of each connection's summary line: how many of each.</param>
    private protected Task AssertRecoveredAsync(Served served, params (string Reason, int Count)[] reasons) => AssertRecoveredAsync(served, 0, reasons);

    /// <inheritdoc cref="AssertRecoveredAsync(Served, ValueTuple{string, int}[])"/>
    /// <param name="served">What <see cref="BeginAsync"/> began.</param>
    /// <param name="refusedAtAccept">Connections that were reset before anything could write their line.</param>
    /// <param name="reasons">The reason of each other connection's summary line: how many of each.</param>
    private protected async Task AssertRecoveredAsync(Served served, int refusedAtAccept, params (string Reason, int Count)[] reasons)
    {
        var watch = Stopwatch.StartNew();
        await AskCanaryAsync();
        Assert.True(watch.Elapsed < Patience.OnThisMachine(TimeSpan.FromSeconds(1)), $"The canary's echo took {watch.ElapsedMilliseconds} ms.");

        int expected = reasons.Sum(reason => reason.Count);
        await Patience.UntilAsync(() => (Lines: served.Summaries.Count, Active: Active(served)), now => now.Lines >= expected && now.Active == 0, Settling);
        await Patience.UntilAsync(() => Descriptors.SocketsOf(Environment.ProcessId), sockets => sockets <= _sockets, Settling);
        await Patience.UntilAsync(() => PooledBytes <= 0, observed: () => $"{PooledBytes} bytes: {_pooled}", limit: Settling);
        Assert.Equal(expected + refusedAtAccept, served.Metrics.Endpoints.Sum(endpoint => endpoint.Accepted));
        Assert.Equal(
            reasons.Where(reason => reason.Count > 0).Select(reason => $"{reason.Count} {reason.Reason}").Order(),
            served.Summaries.GroupBy(line => line.GetStructuredStateValue("Reason")).Select(group => $"{group.Count()} {group.Key}").Order());
    }

    /// <summary>A figure for docs/faults.md, kept with the test's result.</summary>
    protected static void Figure(FormattableString figure) =>
        TestContext.Current.AddAttachment($"figure {Guid.NewGuid():N}", figure.ToString(CultureInfo.InvariantCulture));

    /// <summary>One echo of the canary, over a connection of its own.</summary>
    protected async Task AskCanaryAsync()
    {
        await using ByteStreamConnection canary = await ByteStream.OpenConnectionAsync(_canary!.EndPoint, cancellationToken: Soon);
        Assert.Equal("canary\n", await AskAsync(canary, "canary\n"));
    }

    /// <summary>Many plain sockets at once, as a backlog takes them.</summary>
    protected async Task<Socket[]> ConnectManyAsync(EndPoint endPoint, int count)
    {
        var sockets = new List<Socket>(count);
        while (sockets.Count < count)
        {
            sockets.AddRange(await Task.WhenAll(Enumerable.Range(0, Math.Min(100, count - sockets.Count)).Select(_ => ConnectPlainAsync(endPoint))));
        }

        return [.. sockets];
    }

    /// <summary>A plain socket, disposed with the test.</summary>
    protected async Task<Socket> ConnectPlainAsync(EndPoint endPoint)
    {
        Socket socket = Own(new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified));
        await socket.ConnectAsync(endPoint, Soon);
        return socket;
    }

    /// <summary>Waits until the other side has ended the connection, one way or another; what comes before is skipped.</summary>
    protected async Task UntilEndedAsync(Socket socket)
    {
        byte[] room = new byte[4096];
        try
        {
            while (await socket.ReceiveAsync(room, Soon) > 0)
            {
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
        }

        socket.Dispose();
    }

    /// <summary>Leaves by a reset.</summary>
    protected static void Reset(Socket socket)
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }

    private static int Active(Served served) => served.Metrics.Endpoints.Sum(endpoint => endpoint.Active);

    /// <summary>The number of sockets once those that are being closed are gone.</summary>
    private async Task<int> SettledSocketsAsync()
    {
        int sockets;
        do
        {
            sockets = Descriptors.SocketsOf(Environment.ProcessId);
            await Task.Delay(50, Soon);
        }
        while (Descriptors.SocketsOf(Environment.ProcessId) != sockets);
        return sockets;
    }
}

using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Telemetry;

/// <summary>One line, one measurement and one activity for each connection, with one reason.</summary>
public sealed class TelemetryTests : ServedTest
{
    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_Served_LeavesOneLineWithEverything(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = "front"), Echo);
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        connection.Writer.Write("bye\n"u8);
        await connection.Writer.DrainAsync(Soon);
        Assert.Equal("bye\n", Text(await connection.Reader.ReadLineAsync(Soon)));
        await connection.DisposeAsync();

        FakeLogRecord line = Assert.Single(await served.WaitForSummariesAsync(1));

        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Equal("ByteStreams.Connection", line.Category);
        Assert.Matches(
            @"^Connection \S+ ended: closed_by_peer\. Endpoint front, handler \S+, peer 127\.0\.0\.1:\d+, proxy -, TLS -, server name -, client -, upstream -, "
            + @"10 bytes in, 10 bytes out, first byte after \d+ ms, \d+ ms in all\.$",
            line.Message);
        Assert.Equal("closed_by_peer", line.GetStructuredStateValue("Reason"));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_UnnamedEndpointAfterProxyHeaders_IsCountedUnderTheListenersAddress(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder =>
            {
                (builder as ByteStreamServerOptions)?.Name = null;
                builder.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")).UseTelemetry();
            },
            Echo);
        foreach (string destination in (string[])["192.0.2.9", "192.0.2.10"])
        {
            Assert.Equal("1\n", await AskAsync(await ConnectAsync(served), $"PROXY TCP4 192.0.2.1 {destination} 1000 80\r\n1\n"));
        }

        Assert.Equal([served.EndPoint.ToString()], served.Metrics.Endpoints.Select(endpoint => endpoint.Name));
    }

    [Fact]
    public async Task Connection_UnnamedEndpointOnEveryAddress_IsCountedUnderTheListenersAddress()
    {
        Served served = await ServeAsync(
            Carrier.Own,
            builder =>
            {
                (builder as ByteStreamServerOptions)?.Name = null;
                builder.UseTelemetry();
            },
            Echo,
            endPoint: new IPEndPoint(IPAddress.Any, 0));
        foreach (byte last in (byte[])[1, 2])
        {
            var destination = new IPEndPoint(new IPAddress([127, 0, 0, last]), ((IPEndPoint)served.EndPoint).Port);
            Assert.Equal("1\n", await AskAsync(await ConnectAsync(destination), "1\n"));
        }

        Assert.Equal([served.EndPoint.ToString()], served.Metrics.Endpoints.Select(endpoint => endpoint.Name));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_NothingSent_HasNoFirstByte(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Echo);
        await (await ConnectAsync(served)).DisposeAsync();

        Assert.Contains("0 bytes in, 0 bytes out, first byte after - ms", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_NothingSentAndEmptyOnesNotLogged_IsLoggedAtDebug()
    {
        using var authority = new AuthorityFiles();
        Served served = await ServeAsync(
            Carrier.Own,
            builder => builder.UseTelemetry(telemetry => telemetry.LogEmptyConnections = false).UseTls(tls => tls.Certificates.Add(authority.Write("localhost"))),
            Echo);

        await (await ConnectAsync(served)).DisposeAsync();
        await served.WaitForSummariesAsync(1);
        ByteStreamConnection other = await ConnectAsync(served);
        other.Writer.Write("no TLS\n"u8);
        await other.Writer.DrainAsync(Soon);
        await other.DisposeAsync();
        await served.WaitForSummariesAsync(2);

        Assert.Equal(
            [(200, LogLevel.Debug), (700, LogLevel.Debug), (200, LogLevel.Information), (700, LogLevel.Information)],
            served.Log.GetSnapshot().Where(record => record.Id.Id is 200 or 700).Select(record => (record.Id.Id, record.Level)));
    }

    [Fact]
    public async Task Connection_NothingSentToAProxyPortAndEmptyOnesNotLogged_IsLoggedAtDebug()
    {
        Served served = await ServeAsync(
            Carrier.Own,
            builder => builder.UseTelemetry(telemetry => telemetry.LogEmptyConnections = false).UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")),
            Echo);

        await (await ConnectAsync(served)).DisposeAsync();
        await served.WaitForSummariesAsync(1);

        Assert.All(
            served.Log.GetSnapshot().Where(record => record.Category is "ByteStreams.ProxyProtocol" or "ByteStreams.Connection"),
            record => Assert.Equal(LogLevel.Debug, record.Level));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("front")]
    public async Task Endpoints_LastServerAndLastConnectionEnded_AreForgotten(string? name)
    {
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = name), Echo);
        var changes = new ConcurrentQueue<EndpointChange>();
        served.Metrics.EndpointsChanged += changes.Enqueue;
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));

        served.Server.Close();
        Assert.Equal(name ?? "tested", Assert.Single(served.Metrics.Endpoints).Name);
        Assert.DoesNotContain(EndpointChange.Forgotten, changes);
        await connection.DisposeAsync();
        await served.Server.WaitClosedAsync(Soon);

        await Patience.UntilAsync(() => (Endpoints: served.Metrics.Endpoints.Count(), served.Metrics.ServerNames), now => now is { Endpoints: 0, ServerNames: 0 });

        Assert.Contains(EndpointChange.Forgotten, changes);
    }

    [Fact]
    public async Task Endpoints_ForgottenWhileTheNextServerOfTheNameIsBuilt_CountsItsConnections()
    {
        ConnectionDelegate? built = null;
        Served served = await ServeAsync(Carrier.Own, static _ => { }, (_, writer, _) => built!(writer.Transport!));
        var before = new EndpointLease(served.Metrics, "other");
        var options = new ByteStreamServerOptions { Name = "other", ApplicationServices = served.Services };
        options.UseTelemetry();
        built = options.Build(static _ => Task.CompletedTask, out _);
        before.Dispose();
        using var lease = new EndpointLease(served.Metrics, "other");

        Assert.Empty(await (await ConnectAsync(served)).Reader.ReadAsync(cancellationToken: Soon));

        Assert.Equal(1, served.Metrics.Endpoints.Single(endpoint => endpoint.Name == "other").Accepted);
    }

    [Fact]
    public async Task Endpoints_AnotherServerOfTheName_KeepsTheCounts()
    {
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), Echo);
        var options = new ByteStreamServerOptions { Name = "tested", ApplicationServices = served.Services };
        options.UseTelemetry();
        Assert.Equal("1\n", await AskAsync(await ConnectAsync(served), "1\n"));
        await using ByteStreamServer other = await ByteStream.StartServerAsync(Echo, new IPEndPoint(IPAddress.Loopback, 0), options, Soon);

        await served.StopAsync(Soon);
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Single().Active, now => now == 0);

        Assert.Equal("2\n", await AskAsync(await ConnectAsync(other.EndPoints[0]), "2\n"));
        Assert.Equal(2, served.Metrics.Endpoints.Single().Accepted);
    }

    [Theory]
    [InlineData(ConnectionCloseReason.RefusedTotal, true)]
    [InlineData(ConnectionCloseReason.RefusedUser, true)]
    [InlineData(ConnectionCloseReason.ProxyUntrusted, true)]
    [InlineData(ConnectionCloseReason.TlsHandshakeLimit, true)]
    [InlineData(ConnectionCloseReason.TlsCertificateMissing, true)]
    [InlineData(ConnectionCloseReason.TlsCertificateExpired, true)]
    [InlineData(ConnectionCloseReason.TlsCertificateUntrusted, true)]
    [InlineData(ConnectionCloseReason.TlsNameNotAllowed, true)]
    [InlineData(ConnectionCloseReason.ProxyInvalid, false)]
    [InlineData(ConnectionCloseReason.TlsHandshakeFailed, false)]
    [InlineData(ConnectionCloseReason.TlsTruncated, false)]
    [InlineData(ConnectionCloseReason.FirstByteTimeout, false)]
    public void IsRefusal_Reason_IsARefusalByLimitListOrCertificate(ConnectionCloseReason reason, bool expected) =>
        Assert.Equal(expected, CloseReasonText.IsRefusal(reason));

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_HandlerReturns_IsClosedLocally(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), (_, writer, _) =>
        {
            writer.Write("bye\n"u8);
            return Task.CompletedTask;
        });
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("bye\n", Text(await connection.Reader.ReadAsync(cancellationToken: Soon)));
        await connection.DisposeAsync();

        await AssertReasonAsync(served, "closed_locally");
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_HandlerThrows_LogsHandlerError(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), (_, _, _) => throw new InvalidDataException("no"));
        await ConnectAndIgnoreAsync(served);

        await AssertReasonAsync(served, "handler_error");
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_MiddlewareThrows_LogsHandlerErrorAndIsReleased(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry().Use(_ => _ => throw new InvalidDataException("no")), Echo);
        await ConnectAndIgnoreAsync(served);

        await AssertReasonAsync(served, "handler_error");
        await served.StopAsync(Soon);
        Assert.All(served.Metrics.Endpoints, endpoint => Assert.Equal(0, endpoint.Active));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_LineTooLong_LogsLimitExceeded(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Echo);
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write(new byte[200_000]);
        // The reset may come before all was sent.
        await Record.ExceptionAsync(async () => await connection.Writer.DrainAsync(Soon));

        await AssertReasonAsync(served, "limit_exceeded");
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connection_ResetByThePeer_LogsResetByPeer(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Echo);
        using (var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(true, 0) })
        {
            await socket.ConnectAsync(served.EndPoint, Soon);
            await Patience.UntilAsync(() => served.Metrics.Endpoints.Any(endpoint => endpoint.Active == 1));
        }

        await AssertReasonAsync(served, "reset_by_peer");
    }

    [Fact]
    public async Task Connection_ServerStops_IsDrained()
    {
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry(), async (reader, _, stopping) =>
            await reader.ReadLineAsync(stopping));
        await ConnectAsync(served);
        await Patience.UntilAsync(() => served.Metrics.Endpoints.Any(endpoint => endpoint.Active == 1));
        await served.StopAsync(Soon);

        await AssertReasonAsync(served, "drained");
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Meter_ConnectionsComeAndGo_CountsThem(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = "front").UseAdmission(admission => admission.MaxConnections = 1), Echo);
        IMeterFactory meters = served.Services.GetRequiredService<IMeterFactory>();
        using var active = new MetricCollector<long>(meters, "ByteStreams", "bytestreams.active_connections");
        using var accepted = new MetricCollector<long>(meters, "ByteStreams", "bytestreams.accepted_connections");
        using var io = new MetricCollector<long>(meters, "ByteStreams", "bytestreams.connection.io");
        using var rejected = new MetricCollector<long>(meters, "ByteStreams", "bytestreams.rejected_connections");
        using var duration = new MetricCollector<double>(meters, "ByteStreams", "bytestreams.connection.duration");

        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        active.RecordObservableInstruments();
        Assert.Equal(1, active.LastMeasurement!.Value);
        Assert.Equal("front", active.LastMeasurement.Tags["bytestreams.endpoint"]);
        await AssertRefusedAsync(served.EndPoint);
        await served.WaitForSummariesAsync(1);
        await connection.DisposeAsync();
        await served.WaitForSummariesAsync(2);
        active.RecordObservableInstruments();
        accepted.RecordObservableInstruments();
        io.RecordObservableInstruments();
        rejected.RecordObservableInstruments();

        Assert.Equal(0, active.LastMeasurement!.Value);
        Assert.Equal(2, accepted.LastMeasurement!.Value);
        Assert.Equal(
            [("receive", 6L), ("transmit", 6L)],
            io.GetMeasurementSnapshot().Select(each => ((string)each.Tags["network.io.direction"]!, each.Value)).Order());
        CollectedMeasurement<long> refusal = Assert.Single(rejected.GetMeasurementSnapshot());
        Assert.Equal("refused_endpoint", refusal.Tags["bytestreams.close_reason"]);
        Assert.Equal(
            ["refused_endpoint", "closed_by_peer"], duration.GetMeasurementSnapshot().Select(each => each.Tags["bytestreams.close_reason"]));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Meter_ClockMoves_MeasuresTheDuration(Carrier carrier)
    {
        var time = new FakeTimeProvider();
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(), Echo, time);
        using var duration = new MetricCollector<double>(
            served.Services.GetRequiredService<IMeterFactory>(), "ByteStreams", "bytestreams.connection.duration");
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));

        time.Advance(TimeSpan.FromSeconds(7));
        await connection.DisposeAsync();
        await served.WaitForSummariesAsync(1);

        Assert.Equal(7, Assert.Single(duration.GetMeasurementSnapshot()).Value);
        Assert.Contains("7000 ms in all", served.Summaries[0].Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Trace_WithAListener_IsOneActivityWithTheReason(Carrier carrier)
    {
        var ended = new TaskCompletionSource<Activity>(TaskCreationOptions.RunContinuationsAsynchronously);
        string name = $"traced-{carrier}";
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "ByteStreams",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (Equals(activity.GetTagItem("bytestreams.endpoint"), name))
                {
                    ended.TrySetResult(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        string? inside = null;
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(telemetry => telemetry.Endpoint = name), async (reader, writer, stopping) =>
        {
            inside = Activity.Current?.Id;
            await Echo(reader, writer, stopping);
        });
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        await connection.DisposeAsync();

        Activity activity = await ended.Task.WaitAsync(Soon);

        Assert.Equal(activity.Id, inside);
        Assert.Equal($"connection {name}", activity.OperationName);
        Assert.Equal("closed_by_peer", activity.GetTagItem("bytestreams.close_reason"));
        Assert.Equal(6L, activity.GetTagItem("bytestreams.bytes_received"));
        Assert.Equal("127.0.0.1", activity.GetTagItem("network.peer.address"));
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task SummaryLog_Off_NoLine(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseTelemetry(telemetry => telemetry.SummaryLog = false), Echo);
        using var duration = new MetricCollector<double>(
            served.Services.GetRequiredService<IMeterFactory>(), "ByteStreams", "bytestreams.connection.duration");
        await (await ConnectAsync(served)).DisposeAsync();
        await duration.WaitForMeasurementsAsync(1, Soon);

        Assert.Empty(served.Summaries);
    }

    [Fact]
    public void CloseReasons_EachOfThem_HasATextOfItsOwn()
    {
        string[] texts = [.. Enum.GetValues<ConnectionCloseReason>().Select(CloseReasonText.GetText)];

        Assert.Equal(texts.Length, texts.Distinct().Count());
        Assert.All(texts, text => Assert.Matches("^[a-z]+(_[a-z]+)*$", text));
        Assert.Equal("send_stall_timeout", CloseReasonText.GetText(ConnectionCloseReason.SendStallTimeout));
        Assert.Equal("tls_handshake_failed", CloseReasonText.GetText(ConnectionCloseReason.TlsHandshakeFailed));
    }

    [Theory]
    [Trait("Fault", "F17")]
    [InlineData("plain.example", "plain.example")]
    [InlineData("a\r\nConnection 5 ended: closed_by_peer", @"a\u{D}\u{A}Connection 5 ended: closed_by_peer")]
    [InlineData("\u001b[31mred", @"\u{1B}[31mred")]
    [InlineData("back\\slash", @"back\\slash")]
    [InlineData("\u202Eright to left", @"\u{202E}right to left")]
    [InlineData("line\u2028separator", @"line\u{2028}separator")]
    [InlineData("zero\0", @"zero\u{0}")]
    [InlineData("münchen.example", "münchen.example")]
    public void Escape_TextOfPeers_IsOneHarmlessLine(string text, string escaped) => Assert.Equal(escaped, LogText.Escape(text));

    [Fact]
    [Trait("Fault", "F17")]
    public void Escape_LongText_IsTruncated() => Assert.InRange(LogText.Escape(new string('a', 100_000)).Length, 100, 1000);

    [Theory, MemberData(nameof(Carriers))]
    public async Task ByteLogging_BothDirections_IsAHexDumpOfTheFirstBytes(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, builder => builder.UseByteLogging(mostBytes: 18), Echo);
        ByteStreamConnection connection = await ConnectAsync(served);
        Assert.Equal("GET \u001b[31m and some more\n", await AskAsync(connection, "GET \u001b[31m and some more\n"));
        await connection.DisposeAsync();
        await Patience.UntilAsync(() => served.Log.GetSnapshot().Any(record => record.Id.Id == 711));

        FakeLogRecord[] dumps = [.. served.Log.GetSnapshot().Where(record => record.Id.Id == 710)];
        string expected = string.Join(
            Environment.NewLine,
            "24 bytes, 18 of them shown:",
            "0000  47 45 54 20 1B 5B 33 31 6D 20 61 6E 64 20 73 6F  GET .[31m and so",
            "0010  6D 65                                            me");
        Assert.Equal(2, dumps.Length);
        Assert.All(dumps, dump => Assert.EndsWith(expected, dump.Message, StringComparison.Ordinal));
        Assert.Contains(" received ", dumps[0].Message, StringComparison.Ordinal);
        Assert.Contains(" sent ", dumps[1].Message, StringComparison.Ordinal);
    }

    private static async Task AssertReasonAsync(Served served, string reason)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        FakeLogRecord line = Assert.Single(await served.WaitForSummariesAsync(1));
        Assert.Contains($"ended: {reason}.", line.Message, StringComparison.Ordinal);
    }

    private async Task ConnectAndIgnoreAsync(Served served) => await Record.ExceptionAsync(async () =>
    {
        ByteStreamConnection connection = await ConnectAsync(served);
        await connection.Reader.ReadAsync(cancellationToken: Soon);
    });
}

using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.ProxyProtocol;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.ProxyProtocol;

/// <summary>P1, P2 and P6, and what becomes of headers that are none (F30), come from elsewhere (F31), or come with everything else at once (F32).</summary>
public sealed class ProxyProtocolTests : ServedTest
{
    private const string Line = "PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\r\n";

    private int _handled;

    public static TheoryData<int> Valid => [.. Enumerable.Range(0, ProxyVectors.Valid.Length)];

    /// <summary>One in five: what is refused is the reader's tests', and here that nothing runs then.</summary>
    public static TheoryData<Carrier, int> Refused => new(
        from carrier in Enum.GetValues<Carrier>()
        from vector in Enumerable.Range(0, ProxyVectors.Refused.Length)
        where vector % 5 == 0
        select (carrier, vector));

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "P1")]
    public async Task Connect_NotConfigured_AHeaderIsData_P1(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, _ => { }, Echo);

        Assert.Equal(Line, await AskAsync(await ConnectAsync(served), Line));
    }

    [Fact]
    [Trait("Fault", "P1")]
    public void UseProxyProtocol_NoTrustedNetworks_Throws_P1() =>
        Assert.StartsWith(
            "ProxyProtocol:TrustedNetworks is empty",
            Assert.Throws<ArgumentException>(() => ((IConnectionBuilder)new ByteStreamServerOptions().UseProxyProtocol(_ => { })).Build()).Message,
            StringComparison.Ordinal);

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "P2")]
    public async Task Connect_Header_ConnectionIsTheClients_P2(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, Trusting, Tell);
        ByteStreamConnection connection = await ConnectAsync(served);
        EndPoint proxy = connection.Writer.LocalEndPoint!;

        string answer = await AskAsync(connection, Line + "and its bytes\n");

        Assert.Equal($"192.0.2.1:51324 198.51.100.7:443 through {proxy}: and its bytes\n", answer);
        await connection.DisposeAsync();
        Assert.Contains(
            $"peer 192.0.2.1:51324, proxy {proxy},", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "P4")]
    public async Task Connect_HeaderOfTheProxyItself_RealAddressesStay_P4(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, Trusting, Tell);
        ByteStreamConnection connection = await ConnectAsync(served, options => options.ProxyHeader = ProxyHeader.Local);
        (EndPoint here, EndPoint there) = (connection.Writer.LocalEndPoint!, connection.Writer.RemoteEndPoint!);

        Assert.Equal($"{here} {there} through {here}: x\n", await AskAsync(connection, "x\n"));
    }

    [Theory, MemberData(nameof(Valid))]
    [Trait("Fault", "P2"), Trait("Fault", "F30")]
    public async Task Receive_SplitAtEachByte_HandlerReadsTheBytesAfterTheHeader_F30(int vector)
    {
        (byte[] bytes, string source, _) = ProxyVectors.Valid[vector];
        for (int cut = 0; cut <= bytes.Length; cut++)
        {
            using var late = new CancellationTokenSource(TimeSpan.FromSeconds(10));
            var pipe = new Pipe(new PipeOptions(readerScheduler: PipeScheduler.Inline, useSynchronizationContext: false));
            bool isBegun = false;
            byte[] behind = [];
            Task serving = RunAsync(pipe.Reader, async context =>
            {
                isBegun = true;
                // The header keeps the form that the proxy wrote; the connection has the IPv4 address.
                Assert.Equal(source == "-" ? "127.0.0.1:5" : source.Replace("[::ffff:192.0.2.1]", "192.0.2.1", StringComparison.Ordinal), ProxyVectors.Show(context.RemoteEndPoint));
                ReadResult read = await context.Transport.Input.ReadAtLeastAsync(4, late.Token);
                behind = read.Buffer.ToArray();
            });

            await pipe.Writer.WriteAsync(bytes.AsMemory(0, cut), late.Token);
            Assert.Equal(cut == bytes.Length, isBegun);
            await pipe.Writer.WriteAsync((byte[])[.. bytes[cut..], .. "rest"u8], late.Token);
            await serving.WaitAsync(late.Token);

            Assert.Equal("rest"u8.ToArray(), behind);
        }
    }

    [Theory, MemberData(nameof(Refused))]
    [Trait("Fault", "F30")]
    public async Task Connect_MalformedHeader_IsClosedBeforeAnyHandler_F30(Carrier carrier, int vector)
    {
        (byte[] bytes, string message) = ProxyVectors.Refused[vector];
        Served served = await ServeAsync(carrier, Trusting, Tell);
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write(bytes);

        await AssertEndsAsync(served, connection, "proxy_invalid");

        FakeLine line = Assert.Single(Lines(served));
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Contains(message, line.Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F30")]
    public async Task Connect_LineFeedWithoutCarriageReturn_IsInvalidBeforeTheDeadline_F30(Carrier carrier)
    {
        // The clock never reaches the deadline.
        Served served = await ServeAsync(carrier, Trusting, Tell, new FakeTimeProvider());
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write("PROXY UNKNOWN\n");

        await AssertEndsAsync(served, connection, "proxy_invalid");

        Assert.Contains("A line feed is not preceded by a carriage return.", Assert.Single(Lines(served)).Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F30")]
    public async Task Connect_LeavesWithinTheHeader_IsClosed_F30(Carrier carrier)
    {
        Served served = await ServeAsync(carrier, Trusting, Tell);
        ByteStreamConnection connection = await ConnectAsync(served);
        connection.Writer.Write(Line[..20]);
        connection.Writer.WriteEof();

        await AssertEndsAsync(served, connection, "proxy_invalid");

        Assert.Contains("The peer closed the connection within the PROXY header.", Assert.Single(Lines(served)).Message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F30"), Trait("Fault", "P2")]
    public async Task Connect_SlowHeader_HasOneDeadlineForAllOfIt_F30(Carrier carrier)
    {
        var time = new FakeTimeProvider();
        Served served = await ServeAsync(carrier, Trusting, Tell, time);
        ByteStreamConnection connection = await ConnectAsync(served);

        // A byte each second is never silent for long, and yet it is not done within five. The clock stands until each byte has come.
        for (int i = 0; i < 4; i++)
        {
            connection.Writer.Write(Line.AsSpan(i, 1).ToString());
            await connection.Writer.DrainAsync(Soon);
            await Patience.UntilAsync(() => Received(served), now => now == i + 1);
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Empty(Lines(served));
        await AdvanceUntilAsync(time, () => Lines(served).Any());
        await AssertEndsAsync(served, connection, "proxy_timeout", time);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F31"), Trait("Fault", "P1")]
    public async Task Connect_FromOutsideOfTheTrustedNetworks_IsRefusedAndCounted_F31(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier, builder => builder.UseTelemetry().UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("10.0.0.0/8")), Tell);
        using var rejected = new MetricCollector<long>(
            served.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), ByteStreamMetrics.MeterName, "bytestreams.rejected_connections");

        await AssertRefusedAsync(served.EndPoint);

        Assert.Contains("proxy_untrusted", (await served.WaitForSummariesAsync(1))[0].Message, StringComparison.Ordinal);
        rejected.RecordObservableInstruments();
        CollectedMeasurement<long> counted = Assert.Single(rejected.GetMeasurementSnapshot());
        Assert.Equal((1, "proxy_untrusted"), (counted.Value, counted.Tags["bytestreams.close_reason"]));
        Assert.Equal(0, _handled);
    }

    [Theory, MemberData(nameof(Carriers))]
    [Trait("Fault", "F32")]
    public async Task Connect_HeaderHelloAndRequestAtOnce_AllAreUnderstood_F32(Carrier carrier)
    {
        AuthorityFiles authority = Own(new AuthorityFiles());
        Served served = await ServeAsync(
            carrier,
            builder =>
            {
                Trusting(builder);
                builder.UseTls(tls => tls.Certificates.Add(authority.Write("localhost")));
            },
            Tell);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(served.EndPoint, Soon);
        // The header leaves in the segment of the ClientHello, and the request in that of the client's Finished.
        await using var joining = new JoiningStream(new NetworkStream(socket), System.Text.Encoding.ASCII.GetBytes(Line));
        await using var tls = new SslStream(joining);
        await tls.AuthenticateAsClientAsync(new TlsClientOptions { CaPath = authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions(), Soon);
        Assert.Equal(1, joining.Writes);
        joining.IsHolding = false;
        await tls.WriteAsync("request\n"u8.ToArray(), Soon);

        using var reader = new StreamReader(tls);
        Assert.Equal($"192.0.2.1:51324 198.51.100.7:443 through {socket.LocalEndPoint}: request", await reader.ReadLineAsync(Soon));
        Assert.Equal(2, joining.Writes);
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Connect_AccessListAfterIt_ChecksTheClient(Carrier carrier)
    {
        Served served = await ServeAsync(
            carrier,
            builder =>
            {
                Trusting(builder);
                builder.UseAccessList(access => access.Allow.Add("192.0.2.0/24"));
            },
            Tell);

        Assert.StartsWith("192.0.2.1:51324 ", await AskAsync(await ConnectAsync(served), Line + "\n"), StringComparison.Ordinal);
        ByteStreamConnection other = await ConnectAsync(served);
        other.Writer.Write("PROXY TCP4 203.0.113.9 198.51.100.7 51324 443\r\n");
        await AssertEndsAsync(served, other, "refused_address");
    }

    [Fact]
    [Trait("Fault", "F17")]
    public async Task Connect_PathThatForgesALogLine_IsEscaped_F17()
    {
        string path = "/run/x\nConnection 7 ended: closed_by_peer\u001b[31m";
        Served served = await ServeAsync(Carrier.Own, Trusting, Tell);
        ByteStreamConnection connection = await ConnectAsync(
            served, options => options.ProxyHeader = new ProxyHeader { Source = new UnixDomainSocketEndPoint(path), Destination = new UnixDomainSocketEndPoint("/run/y") });
        await AskAsync(connection, "x\n");
        await connection.DisposeAsync();

        string summary = (await served.WaitForSummariesAsync(1))[0].Message;
        Assert.Contains(@"peer /run/x\u{A}Connection 7 ended: closed_by_peer\u{1B}[31m, proxy 127.0.0.1:", summary, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', summary);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [Trait("Fault", "P6")]
    public async Task OpenConnection_ProxyHeader_IsSentBeforeTheDataAndForwardedByTheNext_P6(int version)
    {
        var heard = new TaskCompletionSource<ProxyHeader>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served backend = await ServeAsync(Carrier.Own, Trusting, async (reader, writer, stopping) =>
        {
            heard.TrySetResult(writer.Transport!.Features.Get<IProxyProtocolFeature>()!.Header);
            await Echo(reader, writer, stopping);
        });
        Served middle = await ServeAsync(Carrier.Own, Trusting, async (reader, writer, stopping) =>
        {
            var options = new ByteStreamClientOptions { ProxyHeader = ProxyHeader.For(writer.Transport!, version) };
            await using ByteStreamConnection next = await ByteStream.OpenConnectionAsync(backend.EndPoint, options, stopping);
            next.Writer.Write(await reader.ReadLineAsync(stopping));
            writer.Write(await next.Reader.ReadLineAsync(stopping));
        });
        ByteStreamConnection client = await ConnectAsync(middle, options => options.ProxyHeader = new ProxyHeader
        {
            Source = IPEndPoint.Parse("192.0.2.1:51324"),
            Destination = IPEndPoint.Parse("198.51.100.7:443"),
            Tlvs = [new ProxyTlv(ProxyTlv.UniqueId, new byte[] { 1, 2, 3 })],
        });

        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));

        ProxyHeader header = await heard.Task.WaitAsync(Soon);
        Assert.Equal((version, "192.0.2.1:51324", "198.51.100.7:443"), (header.Version, header.Source!.ToString(), header.Destination!.ToString()));
        Assert.Equal(version == 2 ? [1, 2, 3] : [], header.UniqueId.ToArray());
    }

    [Fact]
    [Trait("Fault", "P6")]
    public async Task OpenConnection_ProxyHeader_IsOneWriteBeforeTheClientHello_P6()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        Task<ByteStreamConnection> opening = ByteStream.OpenConnectionAsync(
            listener.LocalEndPoint!,
            new ByteStreamClientOptions { ProxyHeader = ProxyHeader.Local, Tls = new SslClientAuthenticationOptions { TargetHost = "localhost" } },
            Soon);
        using Socket accepted = await listener.AcceptAsync(Soon);

        byte[] received = new byte[17];
        await new NetworkStream(accepted).ReadExactlyAsync(received, Soon);

        // Behind the header's sixteen bytes: a TLS record of the kind handshake.
        Assert.Equal(ProxyVectors.Signature + "20000000" + "16", Convert.ToHexString(received));
        accepted.Close();
        await Assert.ThrowsAnyAsync<Exception>(() => opening);
    }

    private static void Trusting(IConnectionBuilder builder) =>
        builder.UseTelemetry().UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8"));

    private static Task RunAsync(PipeReader input, ConnectionDelegate next)
    {
        var options = new ProxyProtocolOptions { TrustedNetworks = { "127.0.0.1" } };
        var middleware = new ProxyProtocolMiddleware(next, options, TimeProvider.System, NullLogger.Instance);
        return middleware.OnConnectionAsync(new DefaultConnectionContext("1", new Duplex(input), new Duplex(input))
        {
            RemoteEndPoint = new IPEndPoint(IPAddress.Loopback, 5),
        });
    }

    private static IEnumerable<FakeLine> Lines(Served served) =>
        served.Log.GetSnapshot().Where(record => record.Id.Id == 600).Select(record => new FakeLine(record.Level, record.Message));

    private static long Received(Served served) => served.Metrics.Endpoints.Sum(endpoint => endpoint.Bytes().Received);

    /// <summary>Says who is connected, and what comes.</summary>
    private async Task Tell(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        Interlocked.Increment(ref _handled);
        IProxyProtocolFeature? proxy = writer.Transport!.Features.Get<IProxyProtocolFeature>();
        string? line = await reader.ReadTextLineAsync(cancellationToken: stopping);
        writer.Write($"{writer.RemoteEndPoint} {writer.LocalEndPoint} through {proxy?.ProxyEndPoint}: {line}\n");
    }

    private async Task AssertEndsAsync(Served served, ByteStreamConnection connection, string reason, FakeTimeProvider? time = null)
    {
        int handled = _handled;
        Exception? end = await Record.ExceptionAsync(async () => await connection.Reader.ReadExactlyAsync(1, Soon));
        Assert.True(end is ConnectionResetException or IncompleteReadException or SocketException, $"{end}");
        bool HasEnded() => served.Summaries.Any(summary => summary.Message.Contains($"ended: {reason}.", StringComparison.Ordinal));
        await (time is null ? Patience.UntilAsync(HasEnded) : AdvanceUntilAsync(time, HasEnded));
        Assert.Equal(handled, _handled);
    }

    private async Task AdvanceUntilAsync(FakeTimeProvider time, Func<bool> condition)
    {
        while (!condition())
        {
            time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(1, Soon);
        }
    }

    private readonly record struct FakeLine(LogLevel Level, string Message);

    private sealed class Duplex(PipeReader input) : IDuplexPipe
    {
        private readonly Pipe _output = new();

        public PipeReader Input => input;

        public PipeWriter Output => _output.Writer;
    }

    /// <summary>Keeps the first write back, and sends it joined with what is there already.</summary>
    private sealed class JoiningStream(Stream inner, byte[] first) : Stream
    {
        private readonly MemoryStream _held = new();
        private byte[] _first = first;

        /// <summary>Whether writes behind the first are kept until one comes that is not.</summary>
        public bool IsHolding { get; set; } = true;

        public int Writes { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => inner.ReadAsync(buffer, cancellationToken);

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _held.Write(_first);
            _held.Write(buffer.Span);
            bool isFirst = _first.Length > 0;
            _first = [];
            if (isFirst || !IsHolding)
            {
                Writes++;
                byte[] joined = _held.ToArray();
                _held.SetLength(0);
                await inner.WriteAsync(joined, cancellationToken);
            }
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}

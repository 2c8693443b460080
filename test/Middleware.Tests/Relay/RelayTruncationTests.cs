using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Connections;
using ByteStreams.Middleware.Tests.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>
/// F76: TLS peers of a relay that end without close_notify, as many programs do. Everything that was decrypted reaches the other side, however
/// slowly that reads; then it sees the end, or a reset where the options demand close_notify.
/// </summary>
[Trait("Fault", "F76")]
public sealed class RelayTruncationTests : TlsTest
{
    private static readonly byte[] Bytes = RandomNumberGenerator.GetBytes(3_000_000);

    private readonly TaskCompletionSource _read = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly FakeTimeProvider _time = new();
    private ByteStreamRelay? _relay;

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [InlineData("unix")]
    public async Task Relay_ClientEndsWithoutCloseNotify_UpstreamGetsAllAndTheEnd(string upstream)
    {
        var received = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            received.SetResult(await reader.ReadAsync(cancellationToken: stopping));
            writer.Write("got it\n"u8);
        });
        Served served = await RelayAsync(url, isTls: true);
        using MetricCollector<long> counted = Truncations(served);

        await using TlsPeer client = await ConnectPeerAsync(served);
        await client.Stream.WriteAsync(Bytes, Soon);
        client.Socket.Shutdown(SocketShutdown.Send);

        byte[] all = await received.Task.WaitAsync(Soon);
        Assert.True(Bytes.AsSpan().SequenceEqual(all), $"{all.Length} bytes came");
        // It still reads: its direction alone has ended.
        Assert.Equal("got it\n"u8.ToArray(), await ReadToEndAsync(client.Stream));
        Assert.Equal("closed_by_peer", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
        CollectedMeasurement<long> one = Assert.Single(counted.GetMeasurementSnapshot());
        Assert.Equal((1, "tested"), (one.Value, one.Tags["bytestreams.endpoint"]));
        Assert.Equal(LogLevel.Debug, Assert.Single(served.Log.GetSnapshot(), record => record.Id.Id == 210).Level);
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    public async Task Relay_ClientEndsWithoutRequiredCloseNotify_SlowUpstreamGetsAllAndAReset(string upstream)
    {
        var received = new TaskCompletionSource<(byte[] Received, Exception? End)>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            writer.Write("ready\n"u8);
            await _read.Task;
            received.SetResult(await ReadToEndAsync(reader, stopping));
        });
        Served served = await RelayAsync(url, isTls: true, tls => tls.RequireCloseNotify = true);

        await using TlsPeer client = await ConnectPeerAsync(served);
        await client.Stream.ReadExactlyAsync(new byte[6], Soon);
        await client.Stream.WriteAsync(Bytes, Soon);
        client.Socket.Shutdown(SocketShutdown.Send);
        await AdvanceBeyondTheLingerAsync();

        _read.SetResult();
        (byte[] all, Exception? end) = await AdvanceUntilAsync(received.Task);
        Assert.True(Bytes.AsSpan().SequenceEqual(all), $"{all.Length} bytes came");
        Assert.IsAssignableFrom<IOException>(end);
        Assert.Equal("tls_truncated", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Relay_UpstreamEndsWithoutCloseNotify_SlowClientGetsAllAndTheEnd(bool isTls)
    {
        string url = ServeTruncatingUpstream();
        Served served = await RelayAsync(url, isTls);
        using MetricCollector<long> counted = Truncations(served);
        ByteStreamConnection client = await ConnectAsync(served, options => options.Tls = isTls ? Client() : null);
        client.Writer.Write("go\n"u8);
        Assert.Equal(Bytes[..1], await client.Reader.ReadExactlyAsync(1, Soon));
        await AdvanceBeyondTheLingerAsync();

        byte[] rest = await client.Reader.ReadAsync(cancellationToken: Soon);
        Assert.True(Bytes.AsSpan(1).SequenceEqual(rest), $"{rest.Length} bytes came");
        client.Writer.Close();
        await AdvanceUntilAsync(served.WaitForSummariesAsync(1));
        CollectedMeasurement<long> one = Assert.Single(counted.GetMeasurementSnapshot());
        Assert.Equal((1, url), (one.Value, one.Tags["bytestreams.upstream"]));
        Assert.Equal(LogLevel.Debug, Assert.Single(served.Log.GetSnapshot(), record => record.Id.Id == 211).Level);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Relay_UpstreamEndsWithoutRequiredCloseNotify_SlowClientGetsAllAndAReset(bool isTls)
    {
        Served served = await RelayAsync(ServeTruncatingUpstream(), isTls, relay: relay => relay.Tls.RequireCloseNotify = true);
        ByteStreamConnection client = await ConnectAsync(served, options => options.Tls = isTls ? Client() : null);
        client.Writer.Write("go\n"u8);
        Assert.Equal(Bytes[..1], await client.Reader.ReadExactlyAsync(1, Soon));
        await AdvanceBeyondTheLingerAsync();

        (byte[] all, Exception? end) = await AdvanceUntilAsync(ReadToEndAsync(client.Reader, Soon));
        Assert.True(Bytes.AsSpan(1).SequenceEqual(all), $"{all.Length} bytes came");
        Assert.IsAssignableFrom<IOException>(end);
        Assert.Equal("upstream_reset", (await AdvanceUntilAsync(served.WaitForSummariesAsync(1)))[0].GetStructuredStateValue("Reason"));
    }

    /// <summary>No program ends there: somebody has cut it.</summary>
    [Fact]
    public async Task Relay_ClientEndsWithinARecord_UpstreamGetsWhatCameAndAReset()
    {
        var received = new TaskCompletionSource<(byte[] Received, Exception? End)>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) => received.SetResult(await ReadToEndAsync(reader, stopping)));
        Served served = await RelayAsync(url, isTls: true);

        await using TlsPeer client = await ConnectPeerAsync(served);
        await client.Stream.WriteAsync("hello"u8.ToArray(), Soon);
        await client.Socket.SendAsync(new byte[] { 23, 3, 3, 0x40, 0, 1, 2, 3 }, Soon);
        client.Socket.Shutdown(SocketShutdown.Send);

        (byte[] all, Exception? end) = await AdvanceUntilAsync(received.Task);
        Assert.Equal("hello"u8.ToArray(), all);
        Assert.IsAssignableFrom<IOException>(end);
        Assert.Equal("tls_truncated", (await served.WaitForSummariesAsync(1))[0].GetStructuredStateValue("Reason"));
    }

    private static MetricCollector<long> Truncations(Served served) =>
        new(served.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), "ByteStreams", "bytestreams.tls_truncations");

    private static async Task<(byte[] Received, Exception? End)> ReadToEndAsync(ByteStreamReader reader, CancellationToken cancellationToken)
    {
        using var all = new MemoryStream();
        try
        {
            while (await reader.ReadAsync(65536, cancellationToken) is { Length: > 0 } some)
            {
                all.Write(some);
            }

            return (all.ToArray(), null);
        }
        catch (IOException lost)
        {
            return (all.ToArray(), lost);
        }
    }

    private async Task<byte[]> ReadToEndAsync(SslStream stream)
    {
        using var all = new MemoryStream();
        await stream.CopyToAsync(all, Soon);
        return all.ToArray();
    }

    /// <summary>The other side has taken nothing for longer than a closed connection lingers.</summary>
    private async Task AdvanceBeyondTheLingerAsync()
    {
        for (int i = 0; i < 120; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Delay(5, Soon);
        }
    }

    private async Task<T> AdvanceUntilAsync<T>(Task<T> done)
    {
        while (!done.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(32));
            await Task.Delay(2, Soon);
        }

        return await done;
    }

    private Task<Served> RelayAsync(string url, bool isTls, Action<TlsServerOptions>? tls = null, Action<RelayOptions>? relay = null)
    {
        Task<Served> Serve(Action<IConnectionBuilder> surround) =>
            ServeAsync(Carrier.Own, surround, (reader, writer, stopping) => _relay!.ServeAsync(reader, writer, stopping), _time, configure: services =>
            {
                services.AddSingleton(provider => Own(new ByteStreamRelay(
                    Options(url, relay), provider.GetRequiredService<ILoggerFactory>(), provider.GetRequiredService<ByteStreamMetrics>(), "tested")));
            });
        return StartAsync();

        async Task<Served> StartAsync()
        {
            using X509Certificate2 certificate = Authority.IssueServer("localhost");
            TlsCertificateOptions files = Write("relay", certificate);
            Served served = await Serve(builder =>
            {
                builder.UseTelemetry();
                if (isTls)
                {
                    builder.UseTls(options =>
                    {
                        options.Certificates.Add(files);
                        tls?.Invoke(options);
                    });
                }
            });
            _relay = served.Services.GetRequiredService<ByteStreamRelay>();
            return served;
        }
    }

    private RelayOptions Options(string url, Action<RelayOptions>? configure)
    {
        File.WriteAllText(PathOf("ca.pem"), Authority.Pem);
        var options = new RelayOptions { Tls = { CaPath = PathOf("ca.pem") }, Connection = { TimeProvider = _time } };
        options.Upstreams.Add(url);
        configure?.Invoke(options);
        return options;
    }

    private async Task<string> ServeUpstreamAsync(string kind, ByteStreamDelegate handler)
    {
        Served upstream = await ServeAsync(
            Carrier.Own,
            builder =>
            {
                if (kind == "tls")
                {
                    using X509Certificate2 certificate = Authority.IssueServer("localhost");
                    TlsCertificateOptions files = Write("upstream", certificate);
                    builder.UseTls(tls => tls.Certificates.Add(files));
                }
            },
            handler,
            endPoint: kind == "unix" ? new UnixDomainSocketEndPoint(PathOf("up.sock")) : null);
        return kind == "unix" ? $"unix:{PathOf("up.sock")}" : $"{kind}://localhost:{((IPEndPoint)upstream.EndPoint).Port}";
    }

    /// <summary>After a line it sends everything, and closes its socket without close_notify.</summary>
    private string ServeTruncatingUpstream()
    {
        var listener = Own(new TcpListener(IPAddress.Loopback, 0));
        listener.Start();
        X509Certificate2 certificate = Own(Authority.IssueServer("localhost"));
        _ = ServeAsync();
        return $"tls://localhost:{((IPEndPoint)listener.LocalEndpoint).Port}";

        async Task ServeAsync()
        {
            using Socket accepted = await listener.AcceptSocketAsync(Soon);
            await using var stream = new SslStream(new NetworkStream(accepted));
            await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificate = certificate }, Soon);
            await stream.ReadExactlyAsync(new byte[3], Soon);
            await stream.WriteAsync(Bytes, Soon);
            accepted.Shutdown(SocketShutdown.Send);
            await stream.CopyToAsync(Stream.Null, Soon);
        }
    }

    private async Task<TlsPeer> ConnectPeerAsync(Served served)
    {
        Socket socket = await ConnectPlainAsync(served);
        return new TlsPeer(socket, await AuthenticateAsync(new NetworkStream(socket)));
    }

    private sealed record TlsPeer(Socket Socket, SslStream Stream) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            Socket.Dispose();
            return default;
        }
    }
}

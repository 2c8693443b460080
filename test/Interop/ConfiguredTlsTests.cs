using System.Globalization;
using System.Net;
using System.Text;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Interop.Tests;

/// <summary>The TLS middleware before clients that are not ours.</summary>
public sealed class ConfiguredTlsTests : IDisposable
{
    private readonly TestAuthority _authority = new();
    private readonly FakeLogCollector _log = new();

    public void Dispose() => _authority.Dispose();

    [Fact(Timeout = 120_000)]
    [Trait("Peer", "python3")]
    [Trait("Fault", "F22")]
    public async Task Require_PythonShowsRightWrongExpiredAndNone_FourOutcomesWithFourReasons_F22()
    {
        using var others = new TestAuthority("Somebody else");
        await using ByteStreamServer server = await ServeAsync(tls =>
        {
            tls.ClientCertificates = ClientCertificates.Require;
            tls.ClientCaPath = _authority.CaPath;
        });

        Assert.Equal("served", await ConnectAsync(server, _authority.Write("billing")));
        Assert.Equal("refused", await ConnectAsync(server, others.Write("billing")));
        Assert.Equal("refused", await ConnectAsync(server, _authority.Write("billing", expired: true)));
        Assert.Equal("refused", await ConnectAsync(server, null));

        Assert.Equal(["closed_by_peer", "tls_certificate_untrusted", "tls_certificate_expired", "tls_certificate_missing"], await ReasonsAsync(4));
    }

    [Theory(Timeout = 60_000)]
    [Trait("Peer", "openssl")]
    [InlineData("-tls1", false)]
    [InlineData("-tls1_1", false)]
    [InlineData("-tls1_2", true)]
    [InlineData("-tls1_3", true)]
    public async Task Versions_SClientOffersOne_OnlyThoseThatAreSafeAreTaken(string version, bool isTaken)
    {
        await using ByteStreamServer server = await ServeAsync(_ => { });
        // Level 0 makes OpenSSL itself willing to speak the old ones.
        await using Peer client = Connect(server, version, "-cipher", "ALL:@SECLEVEL=0");
        await client.Input.WriteAsync("hello\n"u8.ToArray(), TestContext.Current.CancellationToken);
        await client.Input.FlushAsync(TestContext.Current.CancellationToken);
        byte[] answer = new byte[6];

        int length = await client.Output.ReadAtLeastAsync(answer, 6, throwOnEndOfStream: false, TestContext.Current.CancellationToken);

        Assert.Equal(isTaken ? "hello\n" : string.Empty, Encoding.UTF8.GetString(answer, 0, length));
        await client.SendAsync(default);
        Assert.Equal([isTaken ? "closed_by_peer" : "tls_handshake_failed"], await ReasonsAsync(1));
    }

    [Fact(Timeout = 60_000)]
    [Trait("Peer", "openssl")]
    public async Task Renegotiation_SClientAsks_IsRefusedAndConnectionEnds()
    {
        await using ByteStreamServer server = await ServeAsync(_ => { });
        await using Peer client = Connect(server, "-tls1_2");
        byte[] buffer = new byte[6];
        await client.Input.WriteAsync("hello\n"u8.ToArray(), TestContext.Current.CancellationToken);
        await client.Input.FlushAsync(TestContext.Current.CancellationToken);
        await client.Output.ReadExactlyAsync(buffer, TestContext.Current.CancellationToken);

        // A line that begins with R asks for it.
        await client.Input.WriteAsync("R\n"u8.ToArray(), TestContext.Current.CancellationToken);
        await client.Input.FlushAsync(TestContext.Current.CancellationToken);

        Assert.NotNull(await client.WaitForErrorAsync("RENEGOTIATING"));
        await client.ReadToEndAsync();
        Assert.DoesNotContain("closed_by_peer", await ReasonsAsync(1));
    }

    private static Peer Connect(ByteStreamServer server, params string[] more) => Peer.Start(
        "openssl", ["s_client", "-connect", server.EndPoints[0].ToString()!, "-servername", "localhost", "-quiet", "-no_ign_eof", .. more]);

    private async Task<string> ConnectAsync(ByteStreamServer server, TlsCertificateOptions? certificate)
    {
        string port = ((IPEndPoint)server.EndPoints[0]).Port.ToString(CultureInfo.InvariantCulture);
        await using Peer python = Peer.StartPython("mtls_client.py", port, _authority.CaPath, certificate?.Path ?? "-", certificate?.KeyPath ?? "-");
        return (await python.FinishAsync()).TrimEnd();
    }

    private Task<ByteStreamServer> ServeAsync(Action<TlsServerOptions> configure)
    {
        var options = new ByteStreamServerOptions { Name = "tested", LoggerFactory = LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(_log))) };
        options.UseTelemetry().UseTls(tls =>
        {
            tls.Certificates.Add(_authority.Write("localhost"));
            configure(tls);
        });
        return ByteStream.StartServerAsync(Handlers.EchoLines, new IPEndPoint(IPAddress.Loopback, 0), options, TestContext.Current.CancellationToken);
    }

    /// <summary>The reasons of the summaries, in the order of the connections.</summary>
    private async Task<IEnumerable<string>> ReasonsAsync(int count)
    {
        using var late = new CancellationTokenSource(Peer.Patience);
        FakeLogRecord[] summaries;
        while ((summaries = [.. _log.GetSnapshot().Where(record => record.Id.Id == 700)]).Length < count)
        {
            await Task.Delay(10, late.Token);
        }

        return [.. summaries.Select(summary => summary.GetStructuredStateValue("Reason")!)];
    }
}

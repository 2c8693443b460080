using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Interop.Tests;

/// <summary>What the TLS middleware makes of clients that others have written: versions, renegotiation, certificates, names.</summary>
public sealed class TlsServerTests : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("bytestreams-");
    private readonly TestAuthority _authority = new();
    private readonly FakeLogCollector _log = new();
    private readonly Place _place = new();
    private readonly ILoggerFactory _loggers;

    public TlsServerTests()
    {
        _loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Information).AddProvider(new FakeLoggerProvider(_log)));
    }

    public async ValueTask DisposeAsync()
    {
        await _place.DisposeAsync();
        _loggers.Dispose();
        _folder.Delete(recursive: true);
    }

    [Theory]
    [InlineData("-tls1", null)]
    [InlineData("-tls1_1", null)]
    [InlineData("-tls1_2", "TLSv1.2")]
    [InlineData("-tls1_3", "TLSv1.3")]
    [Trait("Peer", "openssl")]
    public async Task Handshake_SClientOffersOneVersion_Only12And13AreTaken(string version, string? taken)
    {
        await ServeAsync();
        // Without a security level: s_client itself would not offer the old ones.
        await using Peer client = Connect(version, "-cipher", "DEFAULT:@SECLEVEL=0", "-ign_eof");
        await client.SendAsync("bye\n"u8.ToArray());
        (int exitCode, string output) = await client.ExitAsync();

        if (taken is null)
        {
            Assert.NotEqual(0, exitCode);
            Assert.Contains("alert protocol version", client.Errors, StringComparison.Ordinal);
            Assert.Contains("reason tls_handshake_failed): error:0A000102:SSL routines::unsupported protocol", await WaitForLogAsync(200), StringComparison.Ordinal);
        }
        else
        {
            Assert.Equal(0, exitCode);
            Assert.Contains($"New, {taken}, Cipher is ", output, StringComparison.Ordinal);
            Assert.Contains("\nbye\n", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    [Trait("Peer", "openssl")]
    public async Task Renegotiation_SClientAsksForIt_IsRefused()
    {
        await ServeAsync();
        await using Peer client = Connect("-tls1_2");
        await client.Input.WriteAsync("hello\n"u8.ToArray(), _place.Late);
        await client.Input.FlushAsync(_place.Late);
        while (await client.ReadLineAsync() != "hello")
        {
            // What s_client tells about the handshake.
        }

        // The command of s_client for it.
        await client.SendAsync("R\n"u8.ToArray());

        (int exitCode, _) = await client.ExitAsync();
        Assert.Contains("RENEGOTIATING", client.Errors, StringComparison.Ordinal);
        // The connection ends, and with no second handshake.
        Assert.NotEqual(0, exitCode);
        Assert.Single(client.Errors.Split('\n'), line => line == "depth=0 CN = localhost");
    }

    [Fact]
    [Trait("Peer", "openssl")]
    [Trait("Fault", "F17")]
    public async Task Summary_SClientAsksForANameWithALineEnd_StaysOneLine()
    {
        await ServeAsync();
        await using Peer client = Connect("-quiet", "-servername", "evil\r\nConnection 1 ended: \u001b[2J");
        await client.SendAsync("bye\n"u8.ToArray());
        Assert.Equal("bye\n", await client.FinishAsync());

        string line = await WaitForLogAsync(700);
        Assert.DoesNotContain(line, char.IsControl);
        Assert.Contains(@", server name evil\u{D}\u{A}Connection 1 ended: \u{1B}[2J, ", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("right", "served hello", null)]
    [InlineData("wrong", "refused ", "tls_certificate_untrusted")]
    [InlineData("expired", "refused ", "tls_certificate_expired")]
    [InlineData("none", "refused ", "tls_certificate_missing")]
    [Trait("Peer", "python3")]
    [Trait("Fault", "F22")]
    public async Task Handshake_PythonShowsACertificate_OnlyTheRightOneIsServed(string shown, string outcome, string? reason)
    {
        await ServeAsync(tls =>
        {
            tls.ClientCertificates = ClientCertificates.Require;
            tls.ClientCaPath = PathOf("ca.pem");
        });
        using X509Certificate2? certificate = shown switch
        {
            "right" => _authority.IssueClient("alice"),
            "wrong" => new TestAuthority("Unknown Authority").IssueClient("alice"),
            "expired" => _authority.IssueExpiredClient("alice"),
            _ => null,
        };
        string[] files = certificate is null ? [] : Write("client", certificate);

        await using Peer python = Peer.StartPython("mtls_client.py", [$"{_place.Port}", PathOf("ca.pem"), .. files]);

        Assert.StartsWith(outcome, await python.FinishAsync(), StringComparison.Ordinal);
        if (reason is null)
        {
            Assert.DoesNotContain(_log.GetSnapshot(), record => record.Id.Id == 200);
        }
        else
        {
            Assert.Contains($", reason {reason}): ", await WaitForLogAsync(200), StringComparison.Ordinal);
        }
    }

    [Fact]
    [Trait("Peer", "openssl")]
    public async Task Handshake_StatusIsStapled_SClientSeesWhatTheAuthoritySaid()
    {
        int port = Ports.Free();
        using X509Certificate2 certificate = _authority.Issue("localhost", ["localhost"], statusUrl: $"http://127.0.0.1:{port}/");
        string[] authority = Write("authority", _authority.Certificate);
        string[] files = Write("stapled", certificate);
        // Whoever asks for the status has to know the authority.
        File.AppendAllText(files[0], "\n" + _authority.Pem);
        File.WriteAllText(PathOf("index.txt"), $"V\t491231235959Z\t\t{certificate.SerialNumber}\tunknown\t/CN=localhost\n");
        await using Peer responder = Peer.Start(
            "openssl", "ocsp", "-index", PathOf("index.txt"), "-port", $"{port}", "-rsigner", authority[0], "-rkey", authority[1], "-CA", authority[0], "-ndays", "1");
        await responder.WaitForErrorAsync("waiting for OCSP client connections");
        await ServeAsync(tls =>
        {
            tls.StapleOcsp = true;
            tls.Certificates[0] = new TlsCertificateOptions { Path = files[0], KeyPath = files[1] };
        });

        // It is fetched beside the handshakes: the first ones go without.
        string output;
        do
        {
            await using Peer client = Connect("-status", "-ign_eof");
            await client.SendAsync("bye\n"u8.ToArray());
            output = await client.FinishAsync();
            _place.Late.ThrowIfCancellationRequested();
        }
        while (!output.Contains("OCSP Response Status: successful", StringComparison.Ordinal));

        Assert.Contains("Cert Status: good", output, StringComparison.Ordinal);
    }

    private string PathOf(string name) => Path.Combine(_folder.FullName, name);

    private string[] Write(string name, X509Certificate2 certificate)
    {
        File.WriteAllText(PathOf($"{name}.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(PathOf($"{name}.key"), certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        return [PathOf($"{name}.pem"), PathOf($"{name}.key")];
    }

    /// <summary>Echoes lines over TLS as it is by default, in files, but for what is configured.</summary>
    private async Task ServeAsync(Action<TlsServerOptions>? configure = null)
    {
        File.WriteAllText(PathOf("ca.pem"), _authority.Pem);
        using X509Certificate2 certificate = _authority.IssueServer("localhost");
        string[] files = Write("server", certificate);
        var options = new ByteStreamServerOptions { LoggerFactory = _loggers };
        options.UseTelemetry().UseTls(tls =>
        {
            tls.Certificates.Add(new TlsCertificateOptions { Path = files[0], KeyPath = files[1] });
            configure?.Invoke(tls);
        });
        await _place.ServeAsync("tcp", Handlers.EchoLines, options);
    }

    private Peer Connect(params string[] more) => Peer.Start(
        "openssl", ["s_client", "-connect", $"127.0.0.1:{_place.Port}", "-CAfile", PathOf("ca.pem"), "-verify_return_error", .. more]);

    private async Task<string> WaitForLogAsync(int id) =>
        (await Patience.UntilAsync(() => _log.GetSnapshot().FirstOrDefault(record => record.Id.Id == id), record => record is not null))!.Message;
}

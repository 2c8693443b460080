using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Interop.Tests;

/// <summary>
/// What only the OpenSSL engine has: alerts for rejected certificates, and sessions that are resumed under the same rules. The peer is OpenSSL's own
/// program.
/// </summary>
[Trait("Peer", "openssl")]
public sealed class OpenSslEngineTests : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("bytestreams-");
    private readonly TestAuthority _authority = new();
    private readonly FakeLogCollector _log = new();
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly Place _place = new();
    private readonly ILoggerFactory _loggers;

    public OpenSslEngineTests()
    {
        _loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Information).AddProvider(new FakeLoggerProvider(_log)));
    }

    public static TheoryData<string> Versions => ["-tls1_2", "-tls1_3"];

    public async ValueTask DisposeAsync()
    {
        await _place.DisposeAsync();
        _loggers.Dispose();
        _folder.Delete(recursive: true);
    }

    // The numbers are those of RFC 8446, 6: handshake_failure, bad_certificate, certificate_expired, unknown_ca, certificate_required.
    [Theory]
    [InlineData("-tls1_2", "missing", 40, "tls_certificate_missing")]
    [InlineData("-tls1_3", "missing", 116, "tls_certificate_missing")]
    [InlineData("-tls1_2", "unknown", 48, "tls_certificate_untrusted")]
    [InlineData("-tls1_3", "unknown", 48, "tls_certificate_untrusted")]
    [InlineData("-tls1_2", "expired", 45, "tls_certificate_expired")]
    [InlineData("-tls1_3", "expired", 45, "tls_certificate_expired")]
    [InlineData("-tls1_2", "server's", 42, "tls_certificate_untrusted")]
    [InlineData("-tls1_3", "server's", 42, "tls_certificate_untrusted")]
    [InlineData("-tls1_2", "stranger", 40, "tls_name_not_allowed")]
    [InlineData("-tls1_3", "stranger", 40, "tls_name_not_allowed")]
    [Trait("Fault", "F22")]
    public async Task Handshake_InvalidClientCertificate_SClientGetsTheAlert(string version, string shown, int alert, string reason)
    {
        using X509Certificate2? certificate = shown switch
        {
            "missing" => null,
            "expired" => _authority.IssueExpiredClient("alice"),
            "unknown" => new TestAuthority("Unknown Authority").IssueClient("alice"),
            "server's" => _authority.Issue("alice", purpose: TestAuthority.ForServers),
            _ => _authority.IssueClient("mallory"),
        };
        bool handled = false;
        await ServeAsync(
            tls =>
            {
                RequireCertificates(tls);
                tls.AllowedCommonNames.Add("alice");
            },
            (_, _, _) =>
            {
                handled = true;
                return Task.CompletedTask;
            });

        await using Peer client = Connect([version, "-ign_eof", .. certificate is null ? [] : (string[])["-cert", Write("client", certificate)[0], "-key", PathOf("client.key")]]);
        // The client of TLS 1.3 is through before it is judged, and sends.
        await client.SendAsync("hello\n"u8.ToArray());
        await client.ExitAsync();

        Assert.Contains($"SSL alert number {alert}\n", client.Errors, StringComparison.Ordinal);
        Assert.Contains($"reason {reason}): ", await WaitForLogAsync(200), StringComparison.Ordinal);
        Assert.False(handled);
    }

    [Theory]
    [InlineData("-tls1_2")]
    [InlineData("-tls1_3")]
    public async Task Connect_SServerHasAnotherName_GetsAnAlertAndNotTheClientsCertificate(string version)
    {
        using X509Certificate2 other = _authority.IssueServer("other.example");
        using X509Certificate2 own = _authority.IssueClient("alice");
        string[] files = Write("other", other);
        File.WriteAllText(PathOf("ca.pem"), _authority.Pem);
        await using Peer server = Peer.Start(
            "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", files[0], "-key", files[1], "-Verify", "1", "-CAfile", PathOf("ca.pem"), "-naccept", "1", version);
        string[] mine = Write("client", own);
        var tls = new TlsClientOptions { CaPath = PathOf("ca.pem"), ServerName = "localhost", Certificate = new() { Path = mine[0], KeyPath = mine[1] } };

        var error = await Assert.ThrowsAsync<System.Security.Authentication.AuthenticationException>(async () => await ByteStream.OpenConnectionAsync(
            "127.0.0.1", await OpenSslTests.PortAsync(server), new() { Tls = tls.CreateAuthenticationOptions(), TlsEngine = TlsEngine.OpenSsl }, _place.Late));

        Assert.Contains("RemoteCertificateNameMismatch", error.Message, StringComparison.Ordinal);
        (_, string output) = await server.ExitAsync();
        Assert.Contains("SSL alert number 42\n", server.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("alice", server.Errors + output, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Versions))]
    public async Task Resume_SClientShowsItsSession_IsReusedAndServed(string version)
    {
        await ServeAsync();

        Assert.Contains("\nNew, TLSv1", await VisitAsync(version, "-sess_out", PathOf("session")), StringComparison.Ordinal);
        Assert.Contains("\nReused, TLSv1", await VisitAsync(version, "-sess_in", PathOf("session")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Resume_SClientReconnects_EachOfFiveIsReused()
    {
        await ServeAsync();
        await using Peer client = Connect("-tls1_2", "-reconnect");
        string line;
        int reused = 0;
        while (reused < 5 && (line = await client.ReadLineAsync()) is not null)
        {
            reused += line.StartsWith("Reused, TLSv1.2", StringComparison.Ordinal) ? 1 : 0;
        }

        Assert.Equal(5, reused);
    }

    [Theory, MemberData(nameof(Versions))]
    public async Task Resume_ClientWithACertificate_IsReusedAndStillKnown(string version)
    {
        using X509Certificate2 alice = _authority.IssueClient("alice");
        string[] files = Write("client", alice);
        List<string?> names = [];
        await ServeAsync(RequireCertificates, async (reader, writer, stopping) =>
        {
            names.Add(writer.PeerCertificate?.Subject);
            await Handlers.EchoLines(reader, writer, stopping);
        });

        await VisitAsync(version, "-sess_out", PathOf("session"), "-cert", files[0], "-key", files[1]);
        Assert.Contains("\nReused, TLSv1", await VisitAsync(version, "-sess_in", PathOf("session"), "-cert", files[0], "-key", files[1]), StringComparison.Ordinal);

        Assert.Equal(["CN=alice", "CN=alice"], names);
    }

    [Theory, MemberData(nameof(Versions))]
    public async Task Resume_AuthoritiesHaveChanged_IsRefused(string version)
    {
        using X509Certificate2 alice = _authority.IssueClient("alice");
        string[] files = Write("client", alice);
        await ServeAsync(RequireCertificates);
        await VisitAsync(version, "-sess_out", PathOf("session"), "-cert", files[0], "-key", files[1]);

        File.WriteAllText(PathOf("clients.pem"), new TestAuthority("Another Authority").Pem);
        await ReloadedAsync(203);

        // The client shows its session with the certificate that is no longer trusted.
        await using Peer client = Connect([version, "-ign_eof", "-sess_in", PathOf("session"), "-cert", files[0], "-key", files[1]]);
        await client.SendAsync("hello\n"u8.ToArray());
        await client.ExitAsync();
        Assert.Contains("SSL alert number 48\n", client.Errors, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Versions))]
    public async Task Resume_CertificateHasChanged_IsANewHandshake(string version)
    {
        await ServeAsync();
        await VisitAsync(version, "-sess_out", PathOf("session"));

        using X509Certificate2 next = _authority.IssueServer("localhost");
        Write("server", next);
        await ReloadedAsync(201);

        Assert.Contains("\nNew, TLSv1", await VisitAsync(version, "-sess_in", PathOf("session")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(61, "\nReused, TLSv1")] // The key encrypts no more, and still decrypts.
    [InlineData(179, "\nReused, TLSv1")]
    [InlineData(181, "\nNew, TLSv1")]
    public async Task Resume_KeyHasRotated_DecryptsForThreeHours(int minutes, string expected)
    {
        await ServeAsync();
        await VisitAsync("-tls1_3", "-sess_out", PathOf("session"));

        _time.Advance(TimeSpan.FromMinutes(minutes));

        Assert.Contains(expected, await VisitAsync("-tls1_3", "-sess_in", PathOf("session")), StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Versions))]
    public async Task Resume_OptionsForbidIt_IsANewHandshake(string version)
    {
        await ServeAsync(tls => tls.Configure = options => options.AllowTlsResume = false);

        await VisitAsync(version, "-sess_out", PathOf("session"));

        // s_client of TLS 1.3 writes no file without a ticket.
        string[] shown = File.Exists(PathOf("session")) && new FileInfo(PathOf("session")).Length > 0 ? ["-sess_in", PathOf("session")] : [];
        Assert.Contains("\nNew, TLSv1", await VisitAsync([version, .. shown]), StringComparison.Ordinal);
    }

    private void RequireCertificates(TlsServerOptions tls)
    {
        File.WriteAllText(PathOf("clients.pem"), _authority.Pem);
        tls.ClientCertificates = ClientCertificates.Require;
        tls.ClientCaPath = PathOf("clients.pem");
    }

    private async Task ServeAsync(Action<TlsServerOptions>? configure = null, ByteStreamDelegate? handler = null)
    {
        File.WriteAllText(PathOf("ca.pem"), _authority.Pem);
        using X509Certificate2 certificate = _authority.IssueServer("localhost");
        string[] files = Write("server", certificate);
        var options = new ByteStreamServerOptions { LoggerFactory = _loggers, TimeProvider = _time };
        options.UseTls(tls =>
        {
            tls.Engine = TlsEngine.OpenSsl;
            tls.Certificates.Add(new TlsCertificateOptions { Path = files[0], KeyPath = files[1] });
            configure?.Invoke(tls);
        });
        await _place.ServeAsync("tcp", handler ?? Handlers.EchoLines, options);
    }

    /// <summary>Sends one line, and returns what s_client says of the handshake.</summary>
    private async Task<string> VisitAsync(params string[] arguments)
    {
        await using Peer client = Connect([.. arguments, "-ign_eof"]);
        await client.SendAsync("bye\n"u8.ToArray());
        return await client.FinishAsync();
    }

    /// <summary>The clock of the watcher stands still but for this.</summary>
    private async Task ReloadedAsync(int id)
    {
        while (!_log.GetSnapshot().Any(record => record.Id.Id == id))
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
            _place.Late.ThrowIfCancellationRequested();
        }
    }

    private string PathOf(string name) => Path.Combine(_folder.FullName, name);

    private string[] Write(string name, X509Certificate2 certificate)
    {
        File.WriteAllText(PathOf($"{name}.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(PathOf($"{name}.key"), certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        return [PathOf($"{name}.pem"), PathOf($"{name}.key")];
    }

    private Peer Connect(params string[] more) => Peer.Start(
        "openssl", ["s_client", "-connect", $"127.0.0.1:{_place.Port}", "-CAfile", PathOf("ca.pem"), "-verify_return_error", .. more]);

    private async Task<string> WaitForLogAsync(int id) =>
        (await Patience.UntilAsync(() => _log.GetSnapshot().FirstOrDefault(record => record.Id.Id == id), record => record is not null))!.Message;
}

using System.Runtime.InteropServices;
using System.Text;
using ByteStreams;
using ByteStreams.Testing;

namespace StreamsHost.Tests.Commands;

/// <summary>A relay without a file: the file that its arguments stand for, errors in terms of the arguments, and a TLS sidecar.</summary>
public sealed class RelayCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-relay-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact(Timeout = 120000)]
    public async Task PrintConfig_EveryOption_IsTheFileThatTheyStandFor()
    {
        CliResult result = await RunAsync(
            "relay", "tls://:7443", "tls://db1.example:5432", "unix:db.sock", "--cert", "tls.crt", "--key", "/etc/tls.key", "--client-ca", "clients.crt",
            "--allow-dns", "a.example", "--allow-dns", "b.example", "--allow-uri", "spiffe://example/*", "--ca", "upstreams.crt", "--upstream-cert", "me.crt",
            "--upstream-key", "me.key", "--server-name", "db.example", "--accept-proxy", "10.0.0.0/8", "--accept-proxy", "unix", "--send-proxy", "V2",
            "--max-connections", "100", "--admin-url", "http://127.0.0.1:7000", "--ByteStreams:Endpoints:relay:Timeouts:ReceiveIdle=5m", "--print-config");

        string expected = $$"""
            {
              "Admin": {
                "Url": "http://127.0.0.1:7000"
              },
              "ByteStreams": {
                "Endpoints": {
                  "relay": {
                    "Admission": {
                      "MaxConnections": 100
                    },
                    "Handler": "relay",
                    "ProxyProtocol": {
                      "TrustedNetworks": [
                        "10.0.0.0/8",
                        "unix"
                      ]
                    },
                    "Relay": {
                      "SendProxyHeader": "V2",
                      "Tls": {
                        "CaPath": "{{_folder}}/upstreams.crt",
                        "Certificate": {
                          "KeyPath": "{{_folder}}/me.key",
                          "Path": "{{_folder}}/me.crt"
                        },
                        "ServerName": "db.example"
                      },
                      "Upstreams": [
                        "tls://db1.example:5432",
                        "unix:{{_folder}}/db.sock"
                      ]
                    },
                    "Timeouts": {
                      "ReceiveIdle": "5m"
                    },
                    "Tls": {
                      "AllowedDnsNames": [
                        "a.example",
                        "b.example"
                      ],
                      "AllowedUris": [
                        "spiffe://example/*"
                      ],
                      "Certificates": [
                        {
                          "KeyPath": "/etc/tls.key",
                          "Path": "{{_folder}}/tls.crt"
                        }
                      ],
                      "ClientCaPath": "{{_folder}}/clients.crt",
                      "ClientCertificates": "Require"
                    },
                    "Url": "tls://*:7443"
                  }
                }
              }
            }

            """;
        Assert.Equal((0, expected, string.Empty), (result.ExitCode, result.Output.ReplaceLineEndings("\n"), result.Errors));
    }

    [Theory(Timeout = 120000)]
    [InlineData("--cert needs TLS, which LISTEN does not use. Write tls://host:port.", "tcp://:1", "unix:@x", "--cert", "tls.crt")]
    [InlineData("--cert is missing: LISTEN uses TLS, which needs a certificate.", "tls://:1", "unix:@x", "--key", "tls.key")]
    [InlineData("--key needs --cert, the certificate of LISTEN.", "unix:@y", "unix:@x", "--key", "tls.key")]
    [InlineData("--allow-dns needs --client-ca, the authorities that issue client certificates.", "tls://:1", "unix:@x", "--cert", "tls.crt", "--allow-dns", "a")]
    [InlineData("--ca needs a tls:// upstream.", "tcp://:1", "unix:@x", "--ca", "ca.crt")]
    [InlineData("--upstream-key needs --upstream-cert, the certificate that it belongs to.", "tcp://:1", "tls://a:1", "--upstream-key", "me.key")]
    [InlineData("--cert is given 2 times, and takes one value.", "tls://:1", "unix:@x", "--cert", "a.crt", "--cert", "b.crt")]
    public async Task Relay_OptionWithoutItsOther_IsAnError(string message, params string[] arguments)
    {
        CliResult result = await RunAsync(["relay", .. arguments]);

        Assert.Equal((1, string.Empty, message + Environment.NewLine), (result.ExitCode, result.Output, result.Errors));
    }

    [Theory(Timeout = 120000)]
    [InlineData("--cert: ", "tls://127.0.0.1:0", "unix:@x", "--cert", "missing.crt")]
    [InlineData("LISTEN: ", "udp://127.0.0.1:0", "unix:@x")]
    [InlineData("UPSTREAM: ", "tcp://127.0.0.1:0", "nowhere")]
    [InlineData("--send-proxy: ", "tcp://127.0.0.1:0", "unix:@x", "--send-proxy", "V3")]
    [InlineData("--max-connections: ", "tcp://127.0.0.1:0", "unix:@x", "--max-connections", "many")]
    [InlineData("ByteStreams:Endpoints:relay:Admission:MaxConnectionsPerClient: ", "tcp://127.0.0.1:0", "unix:@x", "--ByteStreams:Endpoints:relay:Admission:MaxConnectionsPerClient=x")]
    [InlineData("--admin-url: ", "tcp://127.0.0.1:0", "unix:@x", "--admin-url", "127.0.0.1")]
    public async Task Relay_InvalidValue_IsAnErrorThatNamesTheArgument(string argument, params string[] arguments)
    {
        CliResult result = await RunAsync(["relay", .. arguments]);

        Assert.Equal((1, string.Empty), (result.ExitCode, result.Output));
        string line = Assert.Single(result.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith(argument, line, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Relay_TlsInFrontOfAUnixSocket_RelaysBothWaysAndItsFileIsValid()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the upstream is a Unix socket in a folder");
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("localhost");
        string upstream = Path.Combine(_folder, "app.sock");
        await using ByteStreamServer app = await ByteStream.StartUnixServerAsync(
            async (reader, writer) =>
            {
                writer.Write("got " + await reader.ReadTextLineAsync(cancellationToken: Cancel) + "\n");
                await writer.DrainAsync(Cancel);
            },
            upstream,
            cancellationToken: Cancel);
        string[] arguments = ["relay", "tls://127.0.0.1:0", $"unix:{upstream}", "--cert", certificate.Path!, "--key", certificate.KeyPath!];
        await using HostProcess host = HostProcess.StartAlone(arguments);
        await host.WaitUntilUpAsync(1);

        var tls = new TlsClientOptions { CaPath = authority.CaPath, ServerName = "localhost" };
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            "127.0.0.1", host.Port("relay"), new ByteStreamClientOptions { Tls = tls.CreateAuthenticationOptions() }, Cancel))
        {
            client.Writer.Write("hello\n");
            Assert.Equal("got hello\n", Encoding.UTF8.GetString(await client.Reader.ReadAsync(cancellationToken: Cancel)));
        }

        Assert.Empty(host.StatusAddresses);
        string file = Path.Combine(_folder, "relay.json");
        await File.WriteAllTextAsync(file, (await RunAsync([.. arguments, "--print-config"])).Output, Cancel);
        CliResult check = await RunAsync("check", "--config", file);
        Assert.Equal((0, string.Empty), (check.ExitCode, check.Errors));
        Assert.Contains("1 endpoint is valid.", check.Output, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Relay_CertificateReplacedAndSighup_ServesTheNewOneAndKeepsItWhenTheNextIsInvalid()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "SIGHUP is a signal of a Unix system");
        using var authority = new AuthorityFiles();
        (TlsCertificateOptions served, TlsCertificateOptions next) = (authority.Write("first"), authority.Write("second"));
        await using HostProcess host = HostProcess.StartAlone(
            "relay", "tls://127.0.0.1:0", $"unix:{Path.Combine(_folder, "app.sock")}", "--cert", served.Path!, "--key", served.KeyPath!);
        await host.WaitUntilUpAsync(1);
        Assert.Equal("CN=first", await SubjectAsync());

        File.Copy(next.Path!, served.Path!, overwrite: true);
        File.Copy(next.KeyPath!, served.KeyPath!, overwrite: true);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: configuration and certificates reloaded");
        Assert.Equal("CN=second", await SubjectAsync());

        await File.WriteAllTextAsync(served.Path!, "no certificate", Cancel);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: ");
        Assert.Equal("CN=second", await SubjectAsync());

        async Task<string?> SubjectAsync()
        {
            var tls = new TlsClientOptions { CaPath = authority.CaPath, ServerName = "localhost" };
            await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
                "127.0.0.1", host.Port("relay"), new ByteStreamClientOptions { Tls = tls.CreateAuthenticationOptions() }, Cancel);
            return client.Writer.PeerCertificate?.Subject;
        }
    }

    private Task<CliResult> RunAsync(params string[] arguments) => Cli.RunAsync(new CliStart { Folder = _folder }, arguments);
}

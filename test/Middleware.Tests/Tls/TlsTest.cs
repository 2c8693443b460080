using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Tests of TLS: an authority, a server's certificate in files, clients that trust it.</summary>
public abstract class TlsTest : ServedTest
{
    private readonly TemporaryFolder _folder = new();

    protected TlsTest() => Own(_folder);

    private protected TestAuthority Authority { get; } = new();

    protected string PathOf(string name) => Path.Combine(_folder.Path, name);

    private protected TlsCertificateOptions Write(string name, X509Certificate2 certificate)
    {
        File.WriteAllText(PathOf($"{name}.pem"), certificate.ExportCertificatePem());
        File.WriteAllText(PathOf($"{name}.key"), certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        return new TlsCertificateOptions { Path = PathOf($"{name}.pem"), KeyPath = PathOf($"{name}.key") };
    }

    /// <summary>Serves with a certificate for localhost; clients' certificates, where they are asked for, come from this authority.</summary>
    private protected Task<Served> ServeTlsAsync(
        Carrier carrier, Action<TlsServerOptions>? configure = null, ByteStreamDelegate? handler = null, TimeProvider? time = null,
        Action<IConnectionBuilder>? before = null)
    {
        return ServeAsync(
            carrier,
            builder =>
            {
                before?.Invoke(builder);
                builder.UseTls(tls =>
                {
                    configure?.Invoke(tls);
                    if (tls.Certificates.Count == 0)
                    {
                        using X509Certificate2 certificate = Authority.IssueServer("localhost");
                        tls.Certificates.Add(Write("server", certificate));
                    }

                    if (tls.ClientCertificates != ClientCertificates.None && tls.ClientCaPath is null)
                    {
                        tls.ClientCaPath = PathOf("ca.pem");
                        File.WriteAllText(tls.ClientCaPath, Authority.Pem);
                    }
                });
            },
            handler ?? Echo,
            time);
    }

    /// <summary>A client that trusts this authority.</summary>
    private protected SslClientAuthenticationOptions Client(
        X509Certificate2? certificate = null, string host = "localhost", SslProtocols protocols = SslProtocols.None) => new()
        {
            TargetHost = host,
            EnabledSslProtocols = protocols,
            ClientCertificateContext = certificate is null ? null : SslStreamCertificateContext.Create(certificate, null, offline: true),
            CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { Authority.Certificate },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        };

    private protected Task<ByteStreamConnection> ConnectTlsAsync(Served served, SslClientAuthenticationOptions? client = null) =>
        ConnectAsync(served, options => options.Tls = client ?? Client());

    /// <summary>In TLS 1.3 a client is through before the server has looked at its certificate: there the first read fails.</summary>
    private protected async Task AssertNotServedAsync(Served served, SslClientAuthenticationOptions options)
    {
        Exception? error = await Record.ExceptionAsync(async () =>
        {
            await using ByteStreamConnection client = await ConnectTlsAsync(served, options);
            await client.Reader.ReadExactlyAsync(1, Soon);
        });
        Assert.True(error is AuthenticationException or IOException, $"It was {error?.GetType().Name ?? "served"}: {error?.Message}");
    }

    private protected async Task<Socket> ConnectPlainAsync(Served served)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        Own(new OwnedSocket(socket));
        await socket.ConnectAsync(served.EndPoint, Soon);
        return socket;
    }

    /// <summary>Over a socket that the test has at hand.</summary>
    private protected async Task<SslStream> AuthenticateAsync(Stream below, SslClientAuthenticationOptions? client = null)
    {
        var stream = new SslStream(below);
        Own(stream);
        await stream.AuthenticateAsClientAsync(client ?? Client(), Soon);
        return stream;
    }

    /// <summary>Reads until the server has closed, cleanly or by a reset, and answers what came.</summary>
    private protected async Task<byte[]> ReadToEndAsync(Socket socket)
    {
        using var all = new MemoryStream();
        var some = new byte[4096];
        try
        {
            while (await socket.ReceiveAsync(some, Soon) is > 0 and int count)
            {
                all.Write(some, 0, count);
            }
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
        {
        }

        return all.ToArray();
    }

    private protected static MetricCollector<double> CollectHandshakes(Served served) =>
        new(served.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>(), "ByteStreams", "bytestreams.tls_handshake.duration");

    /// <summary>What this library has logged at Information and above, without the summaries.</summary>
    private protected static IReadOnlyList<FakeLogRecord> Told(Served served) =>
        [.. served.Log.GetSnapshot().Where(record =>
            record.Level >= LogLevel.Information && record.Id.Id != 700 && record.Category!.StartsWith("ByteStreams", StringComparison.Ordinal))];

    private protected static async Task<IReadOnlyList<FakeLogRecord>> WaitForFailuresAsync(Served served, int count)
    {
        await Patience.UntilAsync(() => Told(served).Count(record => record.Id.Id == 200) >= count);
        return [.. Told(served).Where(record => record.Id.Id == 200)];
    }

    private sealed class TemporaryFolder : IAsyncDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("bs-tls-").FullName;

        public ValueTask DisposeAsync()
        {
            Directory.Delete(Path, recursive: true);
            return default;
        }
    }

    private sealed class OwnedSocket(Socket socket) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            socket.Dispose();
            return default;
        }
    }
}

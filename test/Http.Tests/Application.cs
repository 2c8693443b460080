using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Http.Tests;

/// <summary>A started ASP.NET Core application with one endpoint, and its log.</summary>
internal sealed class Application : IAsyncDisposable
{
    private static readonly TestAuthority Authority = new();

    private readonly DirectoryInfo _folder;
    private readonly Endpoint _endpoint;

    private Application(WebApplication web, Endpoint endpoint, DirectoryInfo folder, FakeLogCollector log)
    {
        Web = web;
        Log = log;
        _endpoint = endpoint;
        _folder = folder;
    }

    public WebApplication Web { get; }

    public FakeLogCollector Log { get; }

    /// <summary>The lines of level Warning and above.</summary>
    public IEnumerable<string> Warnings =>
        Log.GetSnapshot().Where(line => line.Level >= LogLevel.Warning).Select(line => $"{line.Level} {line.Category} {line.Id.Id}: {line.Message} {line.Exception}");

    /// <summary>The file of the certificate with <c>UseTls</c>; its key is in <c>server.key</c> in the same folder.</summary>
    public string CertificatePath => Path.Combine(_folder.FullName, "server.pem");

    public bool IsTls => _endpoint is Endpoint.UseHttps or Endpoint.UseTls;

    public EndPoint Address => _endpoint == Endpoint.Unix
        ? new UnixDomainSocketEndPoint(SocketPath(_folder))
        : new IPEndPoint(IPAddress.Loopback, new Uri(Web.Urls.First()).Port);

    /// <summary>The address in requests of <see cref="CreateClient"/>.</summary>
    public Uri BaseAddress => new(IsTls ? "https://localhost/" : "http://localhost/");

    public static SslClientAuthenticationOptions ClientTls => new()
    {
        TargetHost = "localhost",
        CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            CustomTrustStore = { Authority.Certificate },
            RevocationMode = X509RevocationMode.NoCheck,
        },
    };

    /// <summary>Starts an application.</summary>
    /// <param name="transport">What its Kestrel listens through.</param>
    /// <param name="endpoint">Its endpoint.</param>
    /// <param name="map">Adds what it serves.</param>
    /// <param name="listen">Configures the endpoint, before TLS.</param>
    /// <param name="configure">Configures the builder, after everything else.</param>
    /// <param name="options">Configures this library's transport.</param>
    /// <param name="tls">Configures <c>UseTls</c>.</param>
    /// <param name="handler">Serves the endpoint in place of HTTP, after TLS.</param>
    /// <returns>The started application.</returns>
    public static async Task<Application> StartAsync(
        TestedTransport transport, Endpoint endpoint, Action<WebApplication> map, Action<ListenOptions>? listen = null,
        Action<WebApplicationBuilder>? configure = null, Action<ByteStreamServerOptions>? options = null, Action<TlsServerOptions>? tls = null,
        Action<ListenOptions>? handler = null)
    {
        var log = new FakeLogCollector();
        DirectoryInfo folder = Directory.CreateTempSubdirectory("bs-http-");
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders().SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(log));
        if (transport == TestedTransport.ByteStreams)
        {
            builder.Services.AddByteStreamTransport(options);
        }

        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            void Configure(ListenOptions listening)
            {
                listen?.Invoke(listening);
                if (endpoint == Endpoint.UseHttps)
                {
                    listening.UseHttps(Authority.IssueServer("localhost"));
                }
                else if (endpoint == Endpoint.UseTls)
                {
                    listening.UseTls(settings =>
                    {
                        settings.Certificates.Add(WriteCertificate(folder));
                        tls?.Invoke(settings);
                    });
                }

                handler?.Invoke(listening);
            }

            if (endpoint == Endpoint.Unix)
            {
                kestrel.ListenUnixSocket(SocketPath(folder), Configure);
            }
            else
            {
                kestrel.Listen(IPAddress.Loopback, 0, Configure);
            }
        });
        configure?.Invoke(builder);
        var application = new Application(builder.Build(), endpoint, folder, log);
        map(application.Web);
        await application.Web.StartAsync();
        return application;
    }

    public async ValueTask DisposeAsync()
    {
        await Web.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    /// <summary>A client that reaches the endpoint, whatever the host of a request.</summary>
    /// <param name="version">The version of HTTP that it speaks, without fallback.</param>
    /// <param name="certificate">The certificate that it shows.</param>
    /// <returns>The client, to be disposed by the test.</returns>
    public HttpClient CreateClient(Version? version = null, X509Certificate2? certificate = null)
    {
        SslClientAuthenticationOptions tls = ClientTls;
        tls.ClientCertificateContext = certificate is null ? null : SslStreamCertificateContext.Create(certificate, null, offline: true);
        var handler = new SocketsHttpHandler
        {
            SslOptions = tls,
            ConnectCallback = async (_, cancellationToken) => new NetworkStream(await ConnectAsync(cancellationToken), ownsSocket: true),
        };
        return new HttpClient(handler)
        {
            BaseAddress = BaseAddress,
            DefaultRequestVersion = version ?? HttpVersion.Version11,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
    }

    public async Task<Socket> ConnectAsync(CancellationToken cancellationToken)
    {
        EndPoint address = Address;
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(address, cancellationToken);
        return socket;
    }

    public static X509Certificate2 IssueClient(string name) => Authority.IssueClient(name);

    /// <summary>Writes the authority of all certificates into a folder, and returns the file.</summary>
    public static string WriteAuthority(string folder)
    {
        string path = Path.Combine(folder, "ca.pem");
        File.WriteAllText(path, Authority.Pem);
        return path;
    }

    private static string SocketPath(DirectoryInfo folder) => Path.Combine(folder.FullName, "s");

    private static TlsCertificateOptions WriteCertificate(DirectoryInfo folder)
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        var files = new TlsCertificateOptions { Path = Path.Combine(folder.FullName, "server.pem"), KeyPath = Path.Combine(folder.FullName, "server.key") };
        File.WriteAllText(files.Path, certificate.ExportCertificatePem());
        File.WriteAllText(files.KeyPath, certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        return files;
    }
}

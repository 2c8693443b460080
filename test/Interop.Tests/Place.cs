using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Interop.Tests;

/// <summary>Where a test meets its peer: an address of each kind, in a temporary folder that goes with the test.</summary>
internal sealed class Place : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("bytestreams-");
    private readonly CancellationTokenSource _late = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private X509Certificate2? _certificate;

    public Place() => _late.CancelAfter(TimeSpan.FromSeconds(60));

    /// <summary>Fires when the test has taken too long.</summary>
    public CancellationToken Late => _late.Token;

    /// <summary>A socket path that is free.</summary>
    public string Path => System.IO.Path.Combine(_folder.FullName, "s");

    /// <summary>An abstract name that nobody else has.</summary>
    public string Abstract => "@" + _folder.Name;

    public ByteStreamServer? Server { get; private set; }

    public int Port => ((IPEndPoint)Server!.EndPoints[0]).Port;

    public string CertificateFile => System.IO.Path.Combine(_folder.FullName, "localhost.crt");

    public string KeyFile => System.IO.Path.Combine(_folder.FullName, "localhost.key");

    /// <summary>Names localhost, signs itself, and is its own authority.</summary>
    public X509Certificate2 Certificate => _certificate ??= MakeCertificate();

    public SslServerAuthenticationOptions ServerTls => new() { ServerCertificate = Certificate };

    /// <summary>Trusts this place's certificate alone.</summary>
    public SslClientAuthenticationOptions ClientTls => new()
    {
        TargetHost = "localhost",
        CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            CustomTrustStore = { Certificate },
            RevocationMode = X509RevocationMode.NoCheck,
        },
    };

    /// <summary>Starts a server here.</summary>
    /// <param name="kind">tcp, tls, unix or abstract.</param>
    /// <param name="handler">What it does with each client.</param>
    /// <param name="options">More than the defaults.</param>
    /// <returns>Its address, as the Python scripts take it.</returns>
    public async Task<string> ServeAsync(string kind, ByteStreamDelegate handler, ByteStreamServerOptions? options = null)
    {
        options ??= new ByteStreamServerOptions();
        options.Tls = kind == "tls" ? ServerTls : null;
        Server = kind switch
        {
            "unix" => await ByteStream.StartUnixServerAsync(handler, Path, options, Late),
            "abstract" => await ByteStream.StartUnixServerAsync(handler, Abstract, options, Late),
            "adopted" => await ByteStream.StartServerAsync(handler, Bind(Path), options, Late),
            _ => await ByteStream.StartServerAsync(handler, "127.0.0.1", 0, options, Late),
        };
        return kind switch
        {
            "unix" or "adopted" => $"unix:{Path}",
            "abstract" => $"unix:{Abstract}",
            "tls" => $"tls:{Port}:{CertificateFile}",
            _ => $"tcp:{Port}",
        };
    }

    /// <summary>Connects to a peer that listens here.</summary>
    public Task<ByteStreamConnection> ConnectAsync(string kind, int port = 0)
    {
        return kind switch
        {
            "unix" => ByteStream.OpenUnixConnectionAsync(Path, cancellationToken: Late),
            "abstract" => ByteStream.OpenUnixConnectionAsync(Abstract, cancellationToken: Late),
            "tls" => ByteStream.OpenConnectionAsync("127.0.0.1", port, new() { Tls = ClientTls }, Late),
            _ => ByteStream.OpenConnectionAsync("127.0.0.1", port, cancellationToken: Late),
        };
    }

    public async ValueTask DisposeAsync()
    {
        if (Server is not null)
        {
            Server.AbortClients();
            await Server.DisposeAsync().AsTask().WaitAsync(Patience.Limit);
        }

        _late.Dispose();
        _certificate?.Dispose();
        _folder.Delete(recursive: true);
    }

    /// <summary>A socket as another program hands it over: bound by the system's calls, with their defaults.</summary>
    private static Socket Bind(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        return socket;
    }

    private X509Certificate2 MakeCertificate()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        X509Certificate2 certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddHours(-1), DateTimeOffset.UtcNow.AddDays(1));
        File.WriteAllText(CertificateFile, certificate.ExportCertificatePem());
        File.WriteAllText(KeyFile, key.ExportPkcs8PrivateKeyPem());
        return certificate;
    }
}

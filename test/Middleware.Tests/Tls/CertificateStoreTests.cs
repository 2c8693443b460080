using System.Collections.Concurrent;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Telemetry;
using ByteStreams.Testing;
using ByteStreams.Tls;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Which certificate a client gets, where it comes from, and how it is replaced (F23).</summary>
public sealed class CertificateStoreTests : ServedTest
{
    private readonly TestAuthority _authority;
    private readonly FakeTimeProvider _time = new();
    private readonly FakeLogCollector _log = new();
    private readonly ByteStreamMetrics _metrics;

    public CertificateStoreTests()
    {
        _authority = Own(new TestAuthority());
        _metrics = Own(new ByteStreamMetrics(null));
    }

    [Theory]
    [InlineData("a.example", "a")]
    [InlineData("A.Example", "a")]
    [InlineData("b.example", "b")]
    [InlineData("x.b.example", "wildcard")]
    [InlineData("y.x.b.example", "default")]
    [InlineData("own.b.example", "own")]
    [InlineData("c.example", "default")]
    [InlineData("", "default")]
    [InlineData(null, "default")]
    public void Select_NameAskedFor_IsItsOwnThenAWildcardThenTheDefault(string? host, string expected)
    {
        TlsCertificateOptions wildcard = _authority.Write("wildcard", ["*.b.example"]);
        TlsCertificateOptions fallback = _authority.Write("default", ["default.example"]);
        fallback.Default = true;
        using CertificateStore store = Store(
            _authority.Write("a", ["a.example"]), wildcard, _authority.Write("b", ["b.example"]), _authority.Write("own", ["own.b.example"]), fallback);

        Assert.Equal(expected, store.Select(host)!.Subject);
    }

    [Fact]
    public void Select_NoDefault_IsTheFirst()
    {
        using CertificateStore store = Store(_authority.Write("first", ["a.example"]), _authority.Write("second", ["b.example"]));

        Assert.Equal("first", store.Select("c.example")!.Subject);
    }

    [Fact]
    public void Select_HostsInTheOptions_AreInsteadOfTheCertificates()
    {
        TlsCertificateOptions second = _authority.Write("second", ["b.example"]);
        second.Hosts.Add("c.example");
        using CertificateStore store = Store(_authority.Write("first", ["a.example"]), second);

        Assert.Equal(("second", "first"), (store.Select("c.example")!.Subject, store.Select("b.example")!.Subject));
    }

    [Fact]
    public void Load_PfxWithPassword_IsTheCertificate()
    {
        using X509Certificate2 certificate = _authority.Sign("packed", ["a.example"]);
        string path = Path.Combine(_authority.Folder, "a.pfx");
        File.WriteAllBytes(path, certificate.Export(X509ContentType.Pkcs12, "secret"));

        using CertificateStore store = Store(new TlsCertificateOptions { Path = path, Password = "secret" });

        Assert.Equal("packed", store.Select("a.example")!.Subject);
        Assert.Contains(
            path, Assert.Throws<ArgumentException>(() => Store(new TlsCertificateOptions { Path = path, Password = "wrong" })).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_OnePemWithAnEncryptedKey_IsTheCertificate()
    {
        using X509Certificate2 certificate = _authority.Sign("one file");
        string path = Path.Combine(_authority.Folder, "one.pem");
        File.WriteAllText(path, certificate.ExportCertificatePem() + "\n" + certificate.GetECDsaPrivateKey()!.ExportEncryptedPkcs8PrivateKeyPem(
            "secret", new System.Security.Cryptography.PbeParameters(System.Security.Cryptography.PbeEncryptionAlgorithm.Aes256Cbc, System.Security.Cryptography.HashAlgorithmName.SHA256, 1000)));

        using CertificateStore store = Store(new TlsCertificateOptions { Path = path, Password = "secret" });

        Assert.Equal("one file", store.Select(null)!.Subject);
    }

    [Fact]
    public void Load_FromTheStore_IsTheCertificate()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the user's store is changed, which is a folder here");
        using X509Certificate2 certificate = _authority.Sign($"stored {Guid.NewGuid():N}");
        using var store = new X509Store("ByteStreamsTests", StoreLocation.CurrentUser, OpenFlags.ReadWrite);
        store.Add(certificate);
        try
        {
            using CertificateStore bySubject = Store(new TlsCertificateOptions { Store = "ByteStreamsTests", Subject = certificate.GetNameInfo(X509NameType.SimpleName, false) });
            using CertificateStore byThumbprint = Store(new TlsCertificateOptions { Store = "ByteStreamsTests", Thumbprint = certificate.Thumbprint });

            Assert.Equal(certificate.Thumbprint, bySubject.Select(null)!.Leaf.Thumbprint);
            Assert.Equal(certificate.Thumbprint, byThumbprint.Select(null)!.Leaf.Thumbprint);
        }
        finally
        {
            store.Remove(certificate);
        }
    }

    [Fact]
    [Trait("Fault", "F23")]
    public void Look_FilesReplaced_IsTheNewOneAndOneLine_F23()
    {
        TlsCertificateOptions options = _authority.Write("before");
        using CertificateStore store = Store(options);

        Replace(options, "after");
        Beat();

        Assert.Equal("after", store.Select(null)!.Subject);
        Assert.Contains("New connections get after", Assert.Single(_log.GetSnapshot()).Message, StringComparison.Ordinal);
        Beat();
        Assert.Single(_log.GetSnapshot());
    }

    [Fact]
    [Trait("Fault", "F23")]
    public void Look_LinkSwappedAsKubernetesDoes_IsTheNewOne_F23()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "symbolic links need a privilege there");
        string folder = Path.Combine(_authority.Folder, "mounted");
        Directory.CreateDirectory(Path.Combine(folder, "..1"));
        Directory.CreateDirectory(Path.Combine(folder, "..2"));
        Write("..1", "before");
        Write("..2", "after");
        File.CreateSymbolicLink(Path.Combine(folder, "..data"), "..1");
        File.CreateSymbolicLink(Path.Combine(folder, "tls.crt"), "..data/tls.crt");
        File.CreateSymbolicLink(Path.Combine(folder, "tls.key"), "..data/tls.key");
        using CertificateStore store = Store(new TlsCertificateOptions { Path = Path.Combine(folder, "tls.crt"), KeyPath = Path.Combine(folder, "tls.key") });
        Assert.Equal("before", store.Select(null)!.Subject);

        File.Delete(Path.Combine(folder, "..data"));
        File.CreateSymbolicLink(Path.Combine(folder, "..data"), "..2");
        Beat();

        Assert.Equal("after", store.Select(null)!.Subject);

        void Write(string version, string name)
        {
            using X509Certificate2 certificate = _authority.Sign(name);
            TestAuthority.Write(certificate, Path.Combine(folder, version, "tls.crt"), Path.Combine(folder, version, "tls.key"));
        }
    }

    [Fact]
    [Trait("Fault", "F23")]
    public void Look_BrokenPair_KeepsTheLastGoodOneWithAnErrorAndAMetric_F23()
    {
        TlsCertificateOptions options = _authority.Write("good");
        using CertificateStore store = Store(options);
        using var reloads = new MetricCollector<long>(null, ByteStreamMetrics.MeterName, "bytestreams.tls_certificate.reloads");

        // A certificate whose key is another's; it stays, and is told once.
        using (X509Certificate2 other = _authority.Sign("other"))
        {
            File.WriteAllText(options.Path!, other.ExportCertificatePem());
        }

        for (int i = 0; i < 5; i++)
        {
            Beat();
        }

        Assert.Equal("good", store.Select(null)!.Subject);
        FakeLogRecord error = Assert.Single(_log.GetSnapshot());
        Assert.Equal(LogLevel.Error, error.Level);
        Assert.Contains("cannot be used; the last good one stays", error.Message, StringComparison.Ordinal);
        Assert.Equal("invalid", Assert.Single(reloads.GetMeasurementSnapshot()).Tags["error.type"]);

        // Cut in the middle, then gone, then right again.
        File.WriteAllText(options.Path!, "-----BEGIN CERTIFICATE-----\nMIIB");
        Beat();
        Beat();
        File.Delete(options.Path!);
        Beat();
        Beat();
        Assert.Equal("good", store.Select(null)!.Subject);
        Replace(options, "new");
        Beat();
        Assert.Equal("new", store.Select(null)!.Subject);
        Assert.DoesNotContain("error.type", reloads.GetMeasurementSnapshot()[^1].Tags.Keys);
    }

    [Fact]
    [Trait("Fault", "F23")]
    public void Look_OneFileOfAPairIsNewAlready_IsNoErrorYet_F23()
    {
        TlsCertificateOptions options = _authority.Write("before");
        using CertificateStore store = Store(options);
        using X509Certificate2 next = _authority.Sign("after");

        File.WriteAllText(options.Path!, next.ExportCertificatePem());
        Beat();
        Assert.Equal("before", store.Select(null)!.Subject);
        Assert.Empty(_log.GetSnapshot());

        File.WriteAllText(options.KeyPath!, next.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        Beat();
        Assert.Equal("after", store.Select(null)!.Subject);
        Assert.DoesNotContain(_log.GetSnapshot(), record => record.Level > LogLevel.Information);
    }

    [Fact]
    [Trait("Fault", "F23")]
    public void Look_AuthoritiesReplaced_AreTheNewOnes_F23()
    {
        TestAuthority other = Own(new TestAuthority("Other authority"));
        using CertificateStore store = Store(new TlsServerOptions
        {
            Certificates = { _authority.Write("a") },
            ClientCertificates = ClientCertificates.Require,
            ClientCaPath = _authority.CaPath,
        });
        Assert.Equal("CN=Test authority", Assert.Single(store.Authorities!).Subject);

        File.AppendAllText(_authority.CaPath, "\n" + File.ReadAllText(other.CaPath));
        Beat();

        Assert.Equal(["CN=Other authority", "CN=Test authority"], store.Authorities!.Select(authority => authority.Subject).Order());
    }

    [Fact]
    public void Expiries_OfEachCertificate_AreShownUntilTheStoreEnds()
    {
        TlsCertificateOptions options = _authority.Write("a");
        CertificateStore store = Store(options);
        using var expiries = new MetricCollector<double>(null, ByteStreamMetrics.MeterName, "bytestreams.tls_certificate.not_after");

        expiries.RecordObservableInstruments();
        CollectedMeasurement<double> shown = Assert.Single(expiries.GetMeasurementSnapshot(clear: true), measurement => (string?)measurement.Tags["tls.server.subject"] == "a");
        Assert.Equal(new DateTimeOffset(store.Select(null)!.Leaf.NotAfter).ToUnixTimeSeconds(), shown.Value);

        store.Dispose();
        expiries.RecordObservableInstruments();
        Assert.DoesNotContain(expiries.GetMeasurementSnapshot(), measurement => (string?)measurement.Tags["tls.server.subject"] == "a");
    }

    [Fact(Timeout = 120_000)]
    [Trait("Fault", "F23")]
    public async Task Replace_FiftyTimesUnderTwoHundredConnections_NoneNoticesAndNewOnesGetTheNewOne_F23()
    {
        TlsCertificateOptions options = _authority.Write("number 0");
        Served served = await ServeAsync(Carrier.Own, builder => builder.UseTelemetry().UseTls(tls => tls.Certificates.Add(options)), Echo, _time);
        using var stop = new CancellationTokenSource();
        var echoed = new ConcurrentDictionary<int, int>();
        Task[] echoing = [.. Enumerable.Range(0, 200).Select(async i =>
        {
            ByteStreamConnection connection = await OpenAsync(served);
            while (!stop.IsCancellationRequested)
            {
                string line = $"connection {i}, line {echoed.GetValueOrDefault(i)}\n";
                Assert.Equal(line, await AskAsync(connection, line));
                echoed.AddOrUpdate(i, 1, (_, lines) => lines + 1);
            }

            await connection.DisposeAsync();
        })];
        await UntilAsync(() => echoed.Count == 200);

        for (int i = 1; i <= 50; i++)
        {
            Replace(options, $"number {i}");
            _time.Advance(TimeSpan.FromSeconds(1));

            // The look of this second has seen it: at most that late does a new connection get it.
            ByteStreamConnection late = await OpenAsync(served);
            Assert.Equal($"CN=number {i}", late.Writer.PeerCertificate!.Subject);
            int before = echoed.Values.Sum();
            await UntilAsync(() => echoed.Values.Sum() > before + 200 || echoing.Any(task => task.IsFaulted));
        }

        await stop.CancelAsync();
        await Task.WhenAll(echoing).WaitAsync(Soon);
        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > LogLevel.Information || record.Id.Id == 200);

        async Task<ByteStreamConnection> OpenAsync(Served server) => await ConnectAsync(
            server, client => client.Tls = new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions());
    }

    private void Replace(TlsCertificateOptions options, string name)
    {
        using X509Certificate2 certificate = _authority.Sign(name);
        TestAuthority.Write(certificate, options.Path!, options.KeyPath!);
    }

    private void Beat() => _time.Advance(TimeSpan.FromSeconds(1));

    private CertificateStore Store(params TlsCertificateOptions[] certificates)
    {
        var options = new TlsServerOptions();
        foreach (TlsCertificateOptions certificate in certificates)
        {
            options.Certificates.Add(certificate);
        }

        return Store(options);
    }

    private CertificateStore Store(TlsServerOptions options) =>
        new(options, "tested", _metrics, _time, LoggerFactory.Create(logging => logging.AddProvider(new FakeLoggerProvider(_log))).CreateLogger("test"));
}

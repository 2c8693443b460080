using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Where certificates come from, who gets which, and what happens when their files change (F23).</summary>
public sealed class CertificateStoreTests : TlsTest
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);

    [Theory]
    [InlineData("a.example.com", "exact")]
    [InlineData("A.Example.COM", "exact")]
    [InlineData("b.example.com", "wildcard")]
    [InlineData("other.example", "second name")]
    [InlineData("example.com", "default")]
    [InlineData("a.b.example.com", "default")]
    [InlineData("nobody.example", "default")]
    [InlineData("named.by.configuration", "configured")]
    [InlineData("its.own.name", "default")]
    [InlineData("127.0.0.1", "default")]
    public async Task Handshake_SeveralCertificates_TheNameChooses(string host, string expected)
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            Add(tls, "wildcard", "*.example.com");
            Add(tls, "exact", "a.example.com");
            Add(tls, "second name", "one.example", "other.example");
            Add(tls, "configured", "its.own.name").Hosts.Add("named.by.configuration");
            Add(tls, "default", "localhost").Default = true;
        });

        Assert.Equal(expected, await NameAsync(served, host));
    }

    [Fact]
    public async Task Handshake_NoDefault_TheFirstServesWhoAsksForNoneOfThem()
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            Add(tls, "first", "a.example");
            Add(tls, "second", "b.example");
        });

        Assert.Equal("first", await NameAsync(served, "c.example"));
        Assert.Equal("second", await NameAsync(served, "b.example"));
    }

    [Theory]
    [InlineData("pair")]
    [InlineData("pair with a password")]
    [InlineData("one file")]
    [InlineData("pfx")]
    [InlineData("pfx without a password")]
    public async Task Handshake_CertificateIsInFiles_IsServed(string kind)
    {
        using X509Certificate2 certificate = Authority.Issue("in files", ["localhost"]);
        TlsCertificateOptions options = Write("server", certificate);
        using ECDsa key = certificate.GetECDsaPrivateKey()!;
        switch (kind)
        {
            case "pair with a password":
                options.Password = "secret";
                File.WriteAllText(options.KeyPath!, key.ExportEncryptedPkcs8PrivateKeyPem("secret", new(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000)));
                break;
            case "one file":
                File.AppendAllText(options.Path!, "\n" + File.ReadAllText(options.KeyPath!));
                options.KeyPath = null;
                break;
            case "pfx" or "pfx without a password":
                options = new TlsCertificateOptions { Path = PathOf("server.pfx"), Password = kind == "pfx" ? "secret" : null };
                File.WriteAllBytes(options.Path, certificate.Export(X509ContentType.Pkcs12, options.Password));
                break;
        }

        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options));

        Assert.Equal("in files", await NameAsync(served));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Handshake_FileHasIntermediates_TheyAreSent(bool isReversed)
    {
        TestAuthority intermediate = Authority.IssueAuthority("In between");
        using X509Certificate2 leaf = intermediate.IssueServer("localhost");
        TlsCertificateOptions options = Write("server", leaf);
        string certificate = File.ReadAllText(options.Path!);
        File.WriteAllText(options.Path!, isReversed ? $"{Authority.Pem}\n{intermediate.Pem}\n{certificate}" : $"{certificate}\n{intermediate.Pem}");
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options));

        // A client that knows the authority alone.
        ByteStreamConnection client = await ConnectTlsAsync(served);
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
    }

    [Theory]
    [InlineData("missing", "missing.pem cannot be used: ")]
    [InlineData("password", "server.pfx cannot be used: ")]
    [InlineData("another key", "server.pem with ")]
    [InlineData("no key", "server.pem cannot be used: ")]
    [InlineData("no certificate", "server.pem with ")]
    [InlineData("authorities", "ca.pem cannot be used: the file is not a certificate: no line begins with -----BEGIN")]
    public async Task Start_FileCannotBeUsed_NamesIt(string what, string expected)
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        TlsCertificateOptions options = Write("server", certificate);
        switch (what)
        {
            case "missing":
                options = new TlsCertificateOptions { Path = PathOf("missing.pem") };
                break;
            case "password":
                options = new TlsCertificateOptions { Path = PathOf("server.pfx"), Password = "wrong" };
                File.WriteAllBytes(options.Path, certificate.Export(X509ContentType.Pkcs12, "right"));
                break;
            case "another key":
                using (X509Certificate2 another = Authority.IssueServer("localhost"))
                {
                    options.KeyPath = Write("another", another).KeyPath;
                }

                break;
            case "no key":
                options.KeyPath = null;
                break;
            case "no certificate":
                File.WriteAllText(options.Path!, "hello\n");
                break;
        }

        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => ServeTlsAsync(Carrier.Own, tls =>
        {
            tls.Certificates.Add(options);
            if (what == "authorities")
            {
                tls.ClientCertificates = ClientCertificates.Require;
                tls.ClientCaPath = PathOf("ca.pem");
                File.WriteAllText(tls.ClientCaPath, "hello\n");
            }
        }));

        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Handshake_CertificateIsInTheStore_IsFound(bool byThumbprint)
    {
        string name = $"bytestreams-test-{Guid.NewGuid():N}";
        using X509Certificate2 made = Authority.Issue(name, ["localhost"]);
        using X509Certificate2 certificate = X509CertificateLoader.LoadPkcs12(
            made.Export(X509ContentType.Pkcs12), null, X509KeyStorageFlags.PersistKeySet);
        using var store = new X509Store(StoreName.My, StoreLocation.CurrentUser, OpenFlags.ReadWrite);
        store.Add(certificate);
        try
        {
            var options = new TlsCertificateOptions { Store = "My" };
            (options.Subject, options.Thumbprint) = byThumbprint ? (null, certificate.Thumbprint) : (name, (string?)null);
            Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options));

            Assert.Equal(name, await NameAsync(served));
        }
        finally
        {
            store.Remove(certificate);
        }
    }

    [Theory, MemberData(nameof(Carriers))]
    public async Task Handshake_ProtocolsAreOffered_TheServersBestIsSeenByTheHandler(Carrier carrier)
    {
        var seen = new TaskCompletionSource<(SslApplicationProtocol, object?, object?, string?)>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(
            carrier,
            tls =>
            {
                tls.ApplicationProtocols.Add("chat/2");
                tls.ApplicationProtocols.Add("chat/1");
            },
            (reader, writer, stopping) =>
            {
                seen.SetResult((writer.ApplicationProtocol, writer.GetExtraInfo("alpn"), writer.GetExtraInfo("sni"), writer.TlsServerName));
                return Echo(reader, writer, stopping);
            });
        SslClientAuthenticationOptions options = Client();
        options.ApplicationProtocols = [new("chat/1"), new("chat/2"), new("chat/3")];
        ByteStreamConnection client = await ConnectTlsAsync(served, options);

        var best = new SslApplicationProtocol("chat/2");
        Assert.Equal((best, best, "localhost", "localhost"), await seen.Task.WaitAsync(Soon));
        Assert.Equal(best, client.Writer.ApplicationProtocol);
    }

    [Fact]
    public async Task Handshake_NoProtocolInCommon_IsRefused()
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.ApplicationProtocols.Add("chat/2"));
        SslClientAuthenticationOptions options = Client();
        options.ApplicationProtocols = [new("chat/1")];

        await AssertNotServedAsync(served, options);

        Assert.Contains("no application protocol", (await WaitForFailuresAsync(served, 1))[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Handshake_NoProtocolAndNoName_TheHandlerSeesNone()
    {
        var seen = new TaskCompletionSource<(object?, object?)>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(Carrier.Own, handler: (_, writer, _) =>
        {
            seen.SetResult((writer.GetExtraInfo("alpn", "none"), writer.GetExtraInfo("sni", "none")));
            return Task.CompletedTask;
        });
        // An address is no name to ask for (RFC 6066, 3).
        await NameAsync(served, "127.0.0.1");

        Assert.Equal(("none", "none"), await seen.Task.WaitAsync(Soon));
    }

    [Theory]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls13, SslProtocols.Tls12, true)]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls13, SslProtocols.Tls13, true)]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls12, SslProtocols.Tls12, true)]
    [InlineData(TlsVersion.Tls12, TlsVersion.Tls12, SslProtocols.Tls13, false)]
    [InlineData(TlsVersion.Tls13, TlsVersion.Tls13, SslProtocols.Tls12, false)]
    [InlineData(TlsVersion.Tls13, TlsVersion.Tls13, SslProtocols.Tls13, true)]
    public async Task Handshake_VersionsAreLimited_OthersAreRefused(TlsVersion minimum, TlsVersion maximum, SslProtocols offered, bool taken)
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls => (tls.MinimumVersion, tls.MaximumVersion) = (minimum, maximum));

        if (taken)
        {
            ByteStreamConnection client = await ConnectTlsAsync(served, Client(protocols: offered));
            Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
            Assert.Equal(offered, client.Writer.TlsProtocol);
        }
        else
        {
            await AssertNotServedAsync(served, Client(protocols: offered));
            Assert.Contains("unsupported protocol", (await WaitForFailuresAsync(served, 1))[0].Message, StringComparison.Ordinal);
        }
    }

    [Theory, Trait("Fault", "F23")]
    [InlineData(Carrier.Own, "in place")]
    [InlineData(Carrier.Stock, "in place")]
    [InlineData(Carrier.Own, "renamed")]
    [InlineData(Carrier.Own, "linked")]
    public async Task Look_FilesWereReplaced_NewHandshakesGetTheNewOneAndOpenConnectionsGoOn(Carrier carrier, string how)
    {
        TlsCertificateOptions options = how == "linked" ? Mount("old") : Issue("old");
        Served served = await ServeTlsAsync(carrier, tls => tls.Certificates.Add(options), time: _time);
        ByteStreamConnection before = await ConnectTlsAsync(served);
        Assert.Equal("old", NameOf(before));

        switch (how)
        {
            case "linked":
                Mount("new");
                break;
            case "renamed":
                TlsCertificateOptions next = Issue("new", "next");
                File.Move(next.KeyPath!, options.KeyPath!, overwrite: true);
                File.Move(next.Path!, options.Path!, overwrite: true);
                break;
            default:
                Issue("new");
                break;
        }

        Assert.Equal("old", await NameAsync(served));
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal("new", await NameAsync(served));
        Assert.Equal("hello\n", await AskAsync(before, "hello\n"));
        FakeLogRecord line = Assert.Single(Told(served));
        Assert.Equal((201, LogLevel.Information), (line.Id.Id, line.Level));
        Assert.Contains("New connections use new, valid until ", line.Message, StringComparison.Ordinal);
    }

    [Theory, Trait("Fault", "F23")]
    [InlineData("another key")]
    [InlineData("empty")]
    [InlineData("cut")]
    [InlineData("gone")]
    public async Task Look_FilesWereReplacedByABrokenPair_TheLastGoodOneStaysAndItIsLoggedOnce(string how)
    {
        TlsCertificateOptions options = Issue("good");
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options), time: _time);
        using MetricCollector<long> reloads = CollectReloads(served);
        ByteStreamConnection before = await ConnectTlsAsync(served);
        string text = File.ReadAllText(options.Path!);
        switch (how)
        {
            case "another key":
                File.Copy(Issue("another", "another").KeyPath!, options.KeyPath!, overwrite: true);
                break;
            case "gone":
                File.Delete(options.Path!);
                break;
            default:
                File.WriteAllText(options.Path!, how == "cut" ? text[..(text.Length / 2)] : string.Empty);
                break;
        }

        // The first look may have come between two files; the second tells, the others have nothing new to tell.
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Empty(Told(served));
        for (int i = 0; i < 5; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            FakeLogRecord line = Assert.Single(Told(served));
            Assert.Equal((202, LogLevel.Error), (line.Id.Id, line.Level));
            Assert.Contains(options.Path!, line.Message, StringComparison.Ordinal);
            Assert.Equal("invalid", Assert.Single(reloads.GetMeasurementSnapshot()).Tags["error.type"]);
        }

        Assert.Equal("good", await NameAsync(served));
        Assert.Equal("hello\n", await AskAsync(before, "hello\n"));

        Issue("better");
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("better", await NameAsync(served));
        Assert.False(reloads.LastMeasurement!.Tags.ContainsKey("error.type"));
    }

    [Fact, Trait("Fault", "F23")]
    public async Task Look_PairIsReplacedFileByFile_NothingIsLoggedInBetween()
    {
        TlsCertificateOptions options = Issue("old");
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options), time: _time);
        TlsCertificateOptions next = Issue("new", "next");

        File.Copy(next.Path!, options.Path!, overwrite: true);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("old", await NameAsync(served));
        File.Copy(next.KeyPath!, options.KeyPath!, overwrite: true);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal("new", await NameAsync(served));
        Assert.Equal(201, Assert.Single(Told(served)).Id.Id);
    }

    [Fact, Trait("Fault", "F23")]
    public async Task Look_SameFileBreaksAgain_IsLoggedAgain()
    {
        TlsCertificateOptions options = Issue("good");
        byte[] content = File.ReadAllBytes(options.Path!);
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options), time: _time);
        for (int i = 1; i <= 2; i++)
        {
            File.Delete(options.Path!);
            _time.Advance(TimeSpan.FromSeconds(1));
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(i, Told(served).Count(line => line.Id.Id == 202));
            // The same content as before it was gone.
            File.WriteAllBytes(options.Path!, content);
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal(i, Told(served).Count(line => line.Id.Id == 201));
        }
    }

    [Fact, Trait("Fault", "F23")]
    public async Task Look_AuthoritiesWereReplaced_TheNextClientsAreJudgedByTheNewOnes()
    {
        var another = new TestAuthority("Another Authority");
        using X509Certificate2 theirs = another.IssueClient("bob");
        using X509Certificate2 ours = Authority.IssueClient("alice");
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.ClientCertificates = ClientCertificates.Require, time: _time);
        await AssertNotServedAsync(served, Client(theirs));
        ByteStreamConnection before = await ConnectTlsAsync(served, Client(ours));
        Assert.Equal("hello\n", await AskAsync(before, "hello\n"));

        File.WriteAllText(PathOf("ca.pem"), another.Pem);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal("hello\n", await AskAsync(await ConnectTlsAsync(served, Client(theirs)), "hello\n"));
        await AssertNotServedAsync(served, Client(ours));
        Assert.Equal("hello\n", await AskAsync(before, "hello\n"));
    }

    [Theory, MemberData(nameof(Carriers)), Trait("Fault", "F23")]
    public async Task Look_Replaced50TimesUnder200EchoingConnections_TheyStayAndEachNewOneIsUsed(Carrier carrier)
    {
        TakeTime(TimeSpan.FromMinutes(2));
        TlsCertificateOptions options = Issue("certificate 0");
        Served served = await ServeTlsAsync(carrier, tls => tls.Certificates.Add(options), time: _time);
        ByteStreamConnection[] connections = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => ConnectTlsAsync(served)));
        bool done = false;
        Task<int>[] echoing = [.. connections.Select(EchoAsync)];

        for (int i = 1; i <= 50; i++)
        {
            Issue($"certificate {i}");
            _time.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal($"certificate {i}", await NameAsync(served));
        }

        Volatile.Write(ref done, true);
        int[] counts = await Task.WhenAll(echoing).WaitAsync(Soon);
        Assert.All(counts, count => Assert.True(count > 0));
        Assert.Equal(50, Told(served).Count);
        Assert.All(Told(served), line => Assert.Equal(201, line.Id.Id));

        async Task<int> EchoAsync(ByteStreamConnection connection)
        {
            int count = 0;
            while (count == 0 || !Volatile.Read(ref done))
            {
                string line = $"line {count++}\n";
                Assert.Equal(line, await AskAsync(connection, line));
            }

            return count;
        }
    }

    [Fact]
    public async Task Meter_CertificateExpires_ShowsWhen()
    {
        TlsCertificateOptions options = Issue("mine");
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(options), time: _time);
        using var expiry = new MetricCollector<double>(Meters(served), "ByteStreams", "bytestreams.tls_certificate.not_after");

        expiry.RecordObservableInstruments();

        using X509Certificate2 certificate = X509CertificateLoader.LoadCertificateFromFile(options.Path!);
        Assert.Equal(new DateTimeOffset(certificate.NotAfter).ToUnixTimeSeconds(), expiry.LastMeasurement!.Value);
        Assert.Equal("mine", expiry.LastMeasurement.Tags["tls.server.subject"]);
    }

    private static System.Diagnostics.Metrics.IMeterFactory Meters(Served served) =>
        served.Services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>();

    private static MetricCollector<long> CollectReloads(Served served) => new(Meters(served), "ByteStreams", "bytestreams.tls_certificate.reloads");

    private static string NameOf(ByteStreamConnection connection) => connection.Writer.PeerCertificate!.GetNameInfo(X509NameType.SimpleName, false);

    private TlsCertificateOptions Add(TlsServerOptions tls, string name, params string[] hosts)
    {
        using X509Certificate2 certificate = Authority.Issue(name, hosts);
        TlsCertificateOptions options = Write(name, certificate);
        tls.Certificates.Add(options);
        return options;
    }

    /// <summary>A new certificate for localhost in the files of that name.</summary>
    private TlsCertificateOptions Issue(string commonName, string file = "server")
    {
        using X509Certificate2 certificate = Authority.Issue(commonName, ["localhost"]);
        return Write(file, certificate);
    }

    /// <summary>As Kubernetes mounts a secret: the files are links into a folder that is a link itself, and only that is replaced.</summary>
    private TlsCertificateOptions Mount(string commonName)
    {
        string folder = $"..{Guid.NewGuid():N}";
        Directory.CreateDirectory(PathOf(folder));
        Issue(commonName, Path.Combine(folder, "tls"));
        // There it is one rename; here no look comes in between.
        File.Delete(PathOf("..data"));
        File.CreateSymbolicLink(PathOf("..data"), folder);
        foreach (string name in (string[])["tls.pem", "tls.key"])
        {
            if (!File.Exists(PathOf(name)))
            {
                File.CreateSymbolicLink(PathOf(name), Path.Combine("..data", name));
            }
        }

        return new TlsCertificateOptions { Path = PathOf("tls.pem"), KeyPath = PathOf("tls.key") };
    }

    /// <summary>The name in the certificate that a new client is shown, who asks for this host.</summary>
    private async Task<string> NameAsync(Served served, string host = "localhost")
    {
        SslClientAuthenticationOptions options = Client(host: host);
        options.RemoteCertificateValidationCallback = (_, shown, _, errors) =>
            shown is not null && (errors & SslPolicyErrors.RemoteCertificateChainErrors) == 0;
        await using ByteStreamConnection connection = await ConnectTlsAsync(served, options);
        return NameOf(connection);
    }
}

using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Tls.OpenSsl;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>The OpenSSL engine, apart from what the tests of TLS show with each engine.</summary>
public sealed class OpenSslEngineTests : TlsTest
{
    public OpenSslEngineTests() => Assert.SkipUnless(OpenSslLibrary.Missing is null, $"Without OpenSSL: {OpenSslLibrary.Missing}.");

    [Fact]
    public async Task Engine_IsOpenSsl_ThereIsNoSslStreamAndTheFactsAreKnown()
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Engine = TlsEngine.OpenSsl);
        await using ByteStreamConnection client = await ConnectAsync(served, options => (options.Tls, options.TlsEngine) = (Client(), TlsEngine.OpenSsl));

        client.Writer.Write("hello\n"u8);
        Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadLineAsync(Soon));
        Assert.Null(client.Writer.SslStream);
        Assert.Equal(SslProtocols.Tls13, client.Writer.TlsProtocol);
        Assert.Equal("CN=localhost", client.Writer.PeerCertificate!.Subject);
    }

    [Fact]
    public async Task Engine_IsSslStream_ThereIsAnSslStream()
    {
        Served served = await ServeTlsAsync(Carrier.Own);
        await using ByteStreamConnection client = await ConnectAsync(served, options => (options.Tls, options.TlsEngine) = (Client(), TlsEngine.SslStream));

        Assert.NotNull(client.Writer.SslStream);
    }

    [Fact]
    public void Validate_StapleOcsp_NeedsSslStream()
    {
        var options = new TlsServerOptions { Engine = TlsEngine.OpenSsl, StapleOcsp = true, Certificates = { new() { Path = "a.pem" } } };

        Assert.Contains(
            "Tls:Engine is OpenSsl, which cannot be used: StapleOcsp is true. Set it to Auto or SslStream.", options.GetErrors());
    }

    // SslStream takes the trust of a context that restricts it; that has no public property.
    [Fact]
    public async Task Connect_ContextMayRestrictTrust_IsRefusedWithTheRemedy()
    {
        Served served = await ServeTlsAsync(Carrier.Own);
        using X509Certificate2 certificate = Authority.IssueClient("alice");
        SslClientAuthenticationOptions tls = Client(certificate);
        tls.CertificateChainPolicy = null;

        var error = await Assert.ThrowsAsync<PlatformNotSupportedException>(
            () => ConnectAsync(served, options => (options.Tls, options.TlsEngine) = (tls, TlsEngine.OpenSsl)));

        Assert.Equal(
            "TlsEngine is OpenSsl, which cannot be used: the certificate context may restrict trust, and CertificateChainPolicy is null; set CertificateChainPolicy."
            + " Set it to Auto or SslStream.", error.Message);
    }

    [Theory]
    [InlineData(TlsCipherSuite.TLS_AES_128_GCM_SHA256, SslProtocols.Tls13, true)]
    [InlineData(TlsCipherSuite.TLS_AES_128_GCM_SHA256, SslProtocols.Tls12, false)]
    [InlineData(TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, SslProtocols.Tls12, true)]
    [InlineData(TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, SslProtocols.Tls13, false)]
    public async Task CipherSuites_PolicyHasOne_IsTheOnlyOne(TlsCipherSuite allowed, SslProtocols offered, bool isServed)
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            tls.Engine = TlsEngine.OpenSsl;
#pragma warning disable CA1416 // The engine is Linux's.
            tls.Configure = options => options.CipherSuitesPolicy = new CipherSuitesPolicy([allowed]);
#pragma warning restore CA1416
        });
        SslClientAuthenticationOptions client = Client(protocols: offered);
        if (!isServed)
        {
            await AssertNotServedAsync(served, client);
            return;
        }

        await using ByteStreamConnection connection = await ConnectTlsAsync(served, client);
        Assert.Equal(allowed, connection.Writer.CipherSuite);
    }

    [Theory]
    [InlineData("bücher.example", "xn--bcher-kva.example")]
    [InlineData("xn--bcher-kva.example", "xn--bcher-kva.example")]
    [InlineData("localhost.", "localhost")]
    [InlineData("127.0.0.1", "127.0.0.1")]
    public async Task Connect_NameInAnotherForm_MatchesTheCertificate(string host, string named)
    {
        using X509Certificate2 certificate = Authority.IssueServer(named);
        TlsCertificateOptions written = Write("server", certificate);
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(written));

        await using ByteStreamConnection client = await ConnectAsync(served, options => (options.Tls, options.TlsEngine) = (Client(host: host), TlsEngine.OpenSsl));

        Assert.Equal($"CN={named}", client.Writer.PeerCertificate!.Subject);
    }

    // The pipe below returns its blocks to the pool while the TLS layer still decrypts what it discards.
    [Theory, MemberData(nameof(Carriers))]
    public async Task Close_PeerSendsOn_EachConnectionEnds(Carrier carrier)
    {
        Served served = await ServeTlsAsync(carrier, tls => tls.Engine = TlsEngine.OpenSsl, async (reader, _, stopping) => await reader.ReadLineAsync(stopping));
        byte[] much = new byte[256 * 1024];
        much[10] = (byte)'\n';

        for (int i = 0; i < 100; i++)
        {
            await using ByteStreamConnection client = await ConnectTlsAsync(served);
            // The end of the server, before or after it has read everything.
            await Record.ExceptionAsync(async () =>
            {
                for (int written = 0; written < 16; written++)
                {
                    client.Writer.Write(much);
                    await client.Writer.DrainAsync(Soon);
                }
            });
        }

        Assert.DoesNotContain(served.Log.GetSnapshot(), record => record.Level > Microsoft.Extensions.Logging.LogLevel.Information);
    }

    [Theory]
    [InlineData("mine", "mine")]
    [InlineData("other", null)]
    public async Task SelectProtocol_ServerHasOne_IsChosenOrRefused(string offered, string? chosen)
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls =>
        {
            tls.Engine = TlsEngine.OpenSsl;
            tls.ApplicationProtocols.Add("mine");
        });
        SslClientAuthenticationOptions client = Client();
        client.ApplicationProtocols = [new SslApplicationProtocol("first"), new SslApplicationProtocol(offered)];
        if (chosen is null)
        {
            await AssertNotServedAsync(served, client);
            return;
        }

        await using ByteStreamConnection connection = await ConnectTlsAsync(served, client);
        Assert.Equal(chosen, connection.Writer.ApplicationProtocol.ToString());
    }

    [Fact]
    public async Task Select_CertificateByCallbacks_BothSidesGetWhatTheyChose()
    {
        using X509Certificate2 server = Authority.IssueServer("localhost");
        using X509Certificate2 alice = Authority.IssueClient("alice");
        string? asked = null;
        string[]? issuers = null;
        var options = new ByteStreamServerOptions
        {
            TlsEngine = TlsEngine.OpenSsl,
            Tls = new SslServerAuthenticationOptions
            {
                ServerCertificateSelectionCallback = (_, name) =>
                {
                    asked = name;
                    return server;
                },
                ClientCertificateRequired = true,
                CertificateChainPolicy = Client().CertificateChainPolicy,
            },
        };
        var seen = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        ByteStreamServer listening = await ByteStream.StartServerAsync(
            (_, writer, _) =>
            {
                seen.SetResult(writer.PeerCertificate?.Subject);
                return Task.CompletedTask;
            },
            new IPEndPoint(IPAddress.Loopback, 0), options, Soon);
        Own(listening);
        SslClientAuthenticationOptions client = Client();
        client.LocalCertificateSelectionCallback = (_, _, _, _, acceptable) =>
        {
            issuers = acceptable;
            return alice;
        };

        await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(
            listening.EndPoints[0], new() { Tls = client, TlsEngine = TlsEngine.OpenSsl }, Soon);

        Assert.Equal("CN=alice", await seen.Task.WaitAsync(Soon));
        Assert.Equal("localhost", asked);
        Assert.NotNull(issuers);
    }
}

using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>TLS towards a server, from files.</summary>
public sealed class TlsClientOptionsTests : TlsTest
{
    [Fact]
    public async Task Connect_AuthorityIsInTheBundle_IsTrusted()
    {
        Served served = await ServeTlsAsync(Carrier.Own);
        // Of several authorities, the second.
        File.WriteAllText(PathOf("bundle.pem"), new TestAuthority("Another").Pem + "\n" + Authority.Pem);

        ByteStreamConnection client = await ConnectTlsAsync(served, Options(PathOf("bundle.pem")).CreateAuthenticationOptions());

        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
        Assert.Equal(SslProtocols.Tls13, client.Writer.TlsProtocol);
    }

    [Fact]
    public async Task Connect_AuthorityIsNotInTheBundle_IsNotTrusted()
    {
        Served served = await ServeTlsAsync(Carrier.Own);
        File.WriteAllText(PathOf("bundle.pem"), new TestAuthority("Test Authority").Pem);

        await Assert.ThrowsAsync<AuthenticationException>(() => ConnectTlsAsync(served, Options(PathOf("bundle.pem")).CreateAuthenticationOptions()));
    }

    [Fact]
    public async Task Connect_NoBundle_TheSystemsListDecides()
    {
        Served served = await ServeTlsAsync(Carrier.Own);

        await Assert.ThrowsAsync<AuthenticationException>(
            () => ConnectTlsAsync(served, new TlsClientOptions { ServerName = "localhost" }.CreateAuthenticationOptions()));
    }

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("LOCALHOST", true)]
    [InlineData("other.example", false)]
    public async Task Connect_ServerNameIsGiven_TheCertificateMustHaveIt(string name, bool trusted)
    {
        var asked = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(Carrier.Own, handler: (_, writer, _) =>
        {
            asked.TrySetResult(writer.TlsServerName);
            return Task.CompletedTask;
        });
        TlsClientOptions options = Options();
        options.ServerName = name;
        Task<ByteStreamConnection> connecting = ConnectTlsAsync(served, options.CreateAuthenticationOptions());

        if (trusted)
        {
            await connecting;
            Assert.Equal("localhost", await asked.Task.WaitAsync(Soon), ignoreCase: true);
        }
        else
        {
            await Assert.ThrowsAsync<AuthenticationException>(() => connecting);
        }
    }

    [Theory]
    [InlineData("spiffe://example.org/upstream", "is a URI; servers' certificates are matched by host name or IP address only.")]
    [InlineData("upstream.example:443", "is not a host name or IP address. Write the name only, without scheme, port or wildcard.")]
    [InlineData("*.example", "is not a host name or IP address.")]
    public void CreateAuthenticationOptions_ServerNameIsNone_IsRefused(string name, string expected)
    {
        ArgumentException error = Assert.Throws<ArgumentException>(() => new TlsClientOptions { ServerName = name }.CreateAuthenticationOptions());

        Assert.StartsWith($"Tls:ServerName: '{name}' {expected}", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData("my_host.example.")]
    public void CreateAuthenticationOptions_ServerNameIsHostOrAddress_IsTaken(string name) =>
        Assert.Equal(name, new TlsClientOptions { ServerName = name }.CreateAuthenticationOptions().TargetHost);

    [Fact]
    public async Task Connect_NoServerName_TheHostIsTheName()
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        TlsCertificateOptions written = Write("server", certificate);
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.Certificates.Add(written));
        TlsClientOptions options = Options();
        options.ServerName = null;

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            "localhost", ((System.Net.IPEndPoint)served.EndPoint).Port, new() { Tls = options.CreateAuthenticationOptions() }, Soon);

        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
    }

    [Fact]
    public async Task Connect_OwnCertificate_IsShown()
    {
        var seen = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.ClientCertificates = ClientCertificates.Require, (reader, writer, stopping) =>
        {
            seen.SetResult(writer.PeerCertificate?.GetNameInfo(X509NameType.SimpleName, false));
            return Echo(reader, writer, stopping);
        });
        using X509Certificate2 certificate = Authority.IssueClient("alice");
        TlsClientOptions options = Options();
        options.Certificate = Write("me", certificate);
        SslClientAuthenticationOptions made = options.CreateAuthenticationOptions();

        ByteStreamConnection client = await ConnectTlsAsync(served, made);
        Assert.Equal("alice", await seen.Task.WaitAsync(Soon));
        Assert.Equal("hello\n", await AskAsync(client, "hello\n"));
    }

    [Theory]
    [InlineData(TlsVersion.Tls12, true)]
    [InlineData(TlsVersion.Tls13, false)]
    public async Task Connect_ServerIsOlderThanTheMinimum_Fails(TlsVersion minimum, bool connects)
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.MaximumVersion = TlsVersion.Tls12);
        TlsClientOptions options = Options();
        options.MinimumVersion = minimum;
        Task<ByteStreamConnection> connecting = ConnectTlsAsync(served, options.CreateAuthenticationOptions());

        if (connects)
        {
            Assert.Equal(SslProtocols.Tls12, (await connecting).Writer.TlsProtocol);
        }
        else
        {
            await Assert.ThrowsAsync<AuthenticationException>(() => connecting);
        }
    }

    [Fact]
    public async Task Connect_ProtocolsAreOffered_OneIsNegotiated()
    {
        Served served = await ServeTlsAsync(Carrier.Own, tls => tls.ApplicationProtocols.Add("chat/1"));
        TlsClientOptions options = Options();
        options.ApplicationProtocols.Add("chat/2");
        options.ApplicationProtocols.Add("chat/1");

        ByteStreamConnection client = await ConnectTlsAsync(served, options.CreateAuthenticationOptions());

        Assert.Equal(new SslApplicationProtocol("chat/1"), client.Writer.ApplicationProtocol);
        Assert.Equal(client.Writer.ApplicationProtocol, client.Writer.GetExtraInfo("alpn"));
    }

    [Theory]
    [InlineData("no bundle", "missing.pem")]
    [InlineData("empty bundle", "ca.pem cannot be used: the file is not a certificate: no line begins with -----BEGIN")]
    [InlineData("no certificate", "missing.pem")]
    [InlineData("another key", "me.pem")]
    [InlineData("both", "either Path or Store")]
    public void Create_FileCannotBeUsed_NamesIt(string what, string expected)
    {
        TlsClientOptions options = Options();
        using X509Certificate2 certificate = Authority.IssueClient("alice");
        using X509Certificate2 another = Authority.IssueClient("bob");
        switch (what)
        {
            case "no bundle":
                options.CaPath = PathOf("missing.pem");
                break;
            case "empty bundle":
                File.WriteAllText(PathOf("ca.pem"), "hello\n");
                break;
            case "no certificate":
                options.Certificate = new() { Path = PathOf("missing.pem") };
                break;
            case "another key":
                options.Certificate = Write("me", certificate);
                options.Certificate.KeyPath = Write("another", another).KeyPath;
                break;
            default:
                options.Certificate = new() { Path = PathOf("me.pem"), Store = "My", Subject = "me" };
                break;
        }

        ArgumentException error = Assert.Throws<ArgumentException>(options.CreateAuthenticationOptions);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    private TlsClientOptions Options(string? bundle = null)
    {
        bundle ??= PathOf("ca.pem");
        if (!File.Exists(bundle))
        {
            File.WriteAllText(bundle, Authority.Pem);
        }

        return new TlsClientOptions { CaPath = bundle, ServerName = "localhost" };
    }
}

using System.Security.Authentication;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>TLS towards a server, from files.</summary>
public sealed class TlsClientOptionsTests : ServedTest
{
    private readonly TestAuthority _authority;

    public TlsClientOptionsTests() => _authority = Own(new TestAuthority());

    [Fact]
    public async Task Connect_ItsAuthorityAndName_IsTrusted()
    {
        Served served = await ServeTlsAsync();

        Assert.Equal("x\n", await AskAsync(await ConnectAsync(served, new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "server.example" }), "x\n"));
    }

    [Fact]
    public async Task Connect_AnotherAuthority_IsRefused()
    {
        Served served = await ServeTlsAsync();
        TestAuthority other = Own(new TestAuthority("Other"));

        await Assert.ThrowsAsync<AuthenticationException>(() => ConnectAsync(served, new TlsClientOptions { CaPath = other.CaPath, ServerName = "server.example" }));
    }

    [Theory]
    [InlineData("other.example")]
    // The host that was connected to, where no name is given: an address, which the certificate does not have.
    [InlineData(null)]
    public async Task Connect_AnotherName_IsRefused(string? name)
    {
        Served served = await ServeTlsAsync();

        await Assert.ThrowsAsync<AuthenticationException>(() => ConnectAsync(served, new TlsClientOptions { CaPath = _authority.CaPath, ServerName = name }));
    }

    [Fact]
    public async Task Connect_SystemsAuthorities_DoNotKnowOurs()
    {
        Served served = await ServeTlsAsync();

        await Assert.ThrowsAsync<AuthenticationException>(() => ConnectAsync(served, new TlsClientOptions { ServerName = "server.example" }));
    }

    [Fact]
    public async Task Connect_MinimumVersion_IsKept()
    {
        Served served = await ServeTlsAsync(tls => tls.MaximumVersion = TlsVersion.Tls12);

        await Assert.ThrowsAsync<AuthenticationException>(
            () => ConnectAsync(served, new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "server.example", MinimumVersion = TlsVersion.Tls13 }));
    }

    [Fact]
    public async Task Connect_CertificateAndProtocol_AreShown()
    {
        Served served = await ServeTlsAsync(
            tls =>
            {
                tls.ClientCertificates = ClientCertificates.Require;
                tls.ClientCaPath = _authority.CaPath;
                tls.ApplicationProtocols.Add("echo/1");
            });
        ByteStreamConnection connection = await ConnectAsync(served, new TlsClientOptions
        {
            CaPath = _authority.CaPath,
            ServerName = "server.example",
            Certificate = _authority.Write("billing"),
            ApplicationProtocols = { "echo/1" },
        });

        Assert.Equal("x\n", await AskAsync(connection, "x\n"));
        Assert.Equal("echo/1", connection.Writer.GetExtraInfo("alpn"));
        await connection.DisposeAsync();
        Assert.Contains("client billing,", (await served.WaitForSummariesAsync(1, Soon))[0].Message, StringComparison.Ordinal);
    }

    [Fact]
    public void CreateAuthenticationOptions_FilesThatAreNone_SaysWhich()
    {
        string path = Path.Combine(_authority.Folder, "empty.pem");
        File.WriteAllText(path, "nothing");

        Assert.Equal($"Tls: {path} has no certificate in PEM.", Message(new TlsClientOptions { CaPath = path }));
        Assert.StartsWith("Tls: /no/such/ca.pem cannot be used: ", Message(new TlsClientOptions { CaPath = "/no/such/ca.pem" }), StringComparison.Ordinal);
        Assert.StartsWith($"Tls: {path} cannot be used: ", Message(new TlsClientOptions { Certificate = new() { Path = path } }), StringComparison.Ordinal);
        Assert.Equal("Tls:Certificate: it has a Path or a Store, and not both.", Message(new TlsClientOptions { Certificate = new() }));

        static string Message(TlsClientOptions options) => Assert.Throws<ArgumentException>(() => options.CreateAuthenticationOptions()).Message;
    }

    private Task<Served> ServeTlsAsync(Action<TlsServerOptions>? configure = null) => ServeAsync(
        Carrier.Own,
        builder => builder.UseTelemetry().UseTls(tls =>
        {
            tls.Certificates.Add(_authority.Write("server", ["server.example"]));
            configure?.Invoke(tls);
        }),
        Echo);

    private Task<ByteStreamConnection> ConnectAsync(Served served, TlsClientOptions tls) =>
        ConnectAsync(served, options => options.Tls = tls.CreateAuthenticationOptions());
}

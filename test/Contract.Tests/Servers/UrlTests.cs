using System.Security.Authentication;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>Servers and connections by URL.</summary>
public sealed class UrlTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    [Trait("Contract", "C5")]
    public async Task OpenConnection_TcpUrl_ConnectsToTheServerOfThatUrl()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(Given.Echo, "tcp://127.0.0.1:0", cancellationToken: Test);
        await AssertEchoAsync(EndpointUrl.Format(server.EndPoints[0], isTls: false));
    }

    [Fact]
    [Trait("Contract", "S12")]
    public async Task OpenConnection_UnixUrl_ConnectsToTheServerOfThatUrl()
    {
        string url = "unix:" + _folder.File("u.sock");
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer) => await writer.WriteAsync(await reader.ReadLineAsync()), url, cancellationToken: Test);
        await AssertEchoAsync(url);
    }

    [Fact]
    [Trait("Contract", "C5")]
    public async Task OpenConnection_TlsUrlAndTheAuthorityOfTheServer_Encrypts()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            Given.Echo, "tls://127.0.0.1:0", new() { Tls = TestCertificate.Server }, Test);
        string ca = _folder.File("ca.pem");
        await File.WriteAllTextAsync(ca, TestCertificate.Certificate.ExportCertificatePem(), Test);
        var options = new ByteStreamClientOptions { Tls = new TlsClientOptions { CaPath = ca, ServerName = "localhost" }.CreateAuthenticationOptions() };

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            EndpointUrl.Format(server.EndPoints[0], isTls: true), options, Test);
        await client.Writer.WriteAsync("secret\n"u8, Test);

        Assert.Equal("secret\n"u8.ToArray(), await client.Line());
        Assert.NotNull(client.Writer.TlsProtocol);
    }

    [Fact]
    [Trait("Contract", "C5")]
    public async Task OpenConnection_TlsUrlWithoutTlsOptions_RejectsACertificateOfAnUnknownAuthority()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            Given.Echo, "tls://127.0.0.1:0", new() { Tls = TestCertificate.Server }, Test);

        await Assert.ThrowsAsync<AuthenticationException>(
            () => ByteStream.OpenConnectionAsync(EndpointUrl.Format(server.EndPoints[0], isTls: true), cancellationToken: Test).Soon());
    }

    [Theory]
    [InlineData("tcp://h", "has no port")]
    [InlineData("tcp://h:0", "a port other than 0")]
    [InlineData("gopher://h:70", "no known scheme")]
    [InlineData("fd:web", "not connected to")]
    [Trait("Contract", "C5")]
    public async Task OpenConnection_UrlThatCannotBeConnectedTo_ThrowsWithTheCause(string url, string cause)
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => ByteStream.OpenConnectionAsync(url, cancellationToken: Test));
        Assert.Contains(cause, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tls://127.0.0.1:0", "needs a certificate")]
    [InlineData("fd:web", "Pass the Socket itself")]
    [InlineData("127.0.0.1:7", "no known scheme")]
    [Trait("Contract", "S12")]
    public async Task StartServer_UrlThatCannotBeListenedOn_ThrowsWithTheRemedy(string url, string remedy)
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => ByteStream.StartServerAsync(Given.Echo, url, cancellationToken: Test));
        Assert.Contains(remedy, error.Message, StringComparison.Ordinal);
    }

    private static async Task AssertEchoAsync(string url)
    {
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(url, cancellationToken: Test);
        await client.Writer.WriteAsync("hello\n"u8, Test);
        Assert.Equal("hello\n"u8.ToArray(), await client.Line());
    }
}

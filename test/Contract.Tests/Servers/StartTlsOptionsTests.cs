using System.Security.Authentication;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>STARTTLS of a client with certificates from files.</summary>
public sealed class StartTlsOptionsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task StartTls_ServerNameOfTheCertificateAndItsAuthority_Encrypts()
    {
        await using ByteStreamServer server = await StartAsync();
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);

        await client.Writer.StartTlsAsync(new TlsClientOptions { CaPath = WriteAuthority(), ServerName = "localhost" }, Test);

        await client.Writer.WriteAsync("secret\n"u8, Test);
        Assert.Equal("secret\n"u8.ToArray(), await client.Line());
        Assert.NotNull(client.Writer.TlsProtocol);
    }

    [Fact]
    public async Task StartTls_OtherServerName_FailsTheHandshake()
    {
        await using ByteStreamServer server = await StartAsync();
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);

        await Assert.ThrowsAsync<AuthenticationException>(
            () => client.Writer.StartTlsAsync(new TlsClientOptions { CaPath = WriteAuthority(), ServerName = "other.example" }, Test));
    }

    [Fact]
    public async Task StartTls_NoServerName_ThrowsAndStaysPlain()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(Given.Echo, "tcp://127.0.0.1:0", cancellationToken: Test);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);

        await Assert.ThrowsAsync<ArgumentException>(() => client.Writer.StartTlsAsync(new TlsClientOptions(), Test));

        await client.Writer.WriteAsync("plain\n"u8, Test);
        Assert.Equal("plain\n"u8.ToArray(), await client.Line());
    }

    private static Task<ByteStreamServer> StartAsync() => ByteStream.StartServerAsync(
        async (reader, writer, stopping) =>
        {
            await writer.StartTlsAsync(TestCertificate.Server, stopping);
            await Given.Echo(reader, writer, stopping);
        },
        "tcp://127.0.0.1:0",
        cancellationToken: Test);

    private string WriteAuthority()
    {
        string path = _folder.File("ca.pem");
        File.WriteAllText(path, TestCertificate.Certificate.ExportCertificatePem());
        return path;
    }
}

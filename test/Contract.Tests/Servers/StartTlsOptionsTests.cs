using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>STARTTLS with certificates from files.</summary>
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

    [Fact]
    [Trait("Contract", "W11")]
    public async Task StartTls_ServerWithCertificateFiles_Encrypts()
    {
        TlsServerOptions options = new() { Certificates = { WriteServer() } };
        await using ByteStreamServer server = await StartAsync(writer => writer.StartTlsAsync(options, Test));
        // Once: the server reads the same file.
        TlsClientOptions trusting = new() { CaPath = WriteAuthority(), ServerName = "localhost" };

        foreach (int _ in (int[])[1, 2])
        {
            await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);
            await client.Writer.StartTlsAsync(trusting, Test);
            await client.Writer.WriteAsync("secret\n"u8, Test);

            Assert.Equal("secret\n"u8.ToArray(), await client.Line());
        }
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task StartTls_ServerWithoutAFile_ThrowsNamingItAndStaysPlain()
    {
        string missing = _folder.File("missing.pem");
        TlsServerOptions options = new() { Certificates = { new() { Path = missing } } };
        ArgumentException? error = null;
        await using ByteStreamServer server = await StartAsync(
            async writer => error = await Assert.ThrowsAnyAsync<ArgumentException>(() => writer.StartTlsAsync(options, Test)));
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);

        await client.Writer.WriteAsync("plain\n"u8, Test);

        Assert.Equal("plain\n"u8.ToArray(), await client.Line());
        Assert.Contains(missing, error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task StartTls_ServerWithCertificateFilesAndUnreadPlainBytes_RejectsThem()
    {
        TlsServerOptions options = new() { Certificates = { WriteServer() } };
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer) =>
            {
                await reader.ReadLineAsync();
                await Assert.ThrowsAsync<InvalidDataException>(() => writer.StartTlsAsync(options, Test));
                writer.Write("rejected\n");
            },
            "tcp://127.0.0.1:0",
            cancellationToken: Test);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Test);

        await client.Writer.WriteAsync("STARTTLS\ninjected\n"u8, Test);

        Assert.Equal("rejected\n"u8.ToArray(), await client.Line());
    }

    private static Task<ByteStreamServer> StartAsync(Func<ByteStreamWriter, Task> upgrade) => ByteStream.StartServerAsync(
        async (reader, writer, stopping) =>
        {
            await upgrade(writer);
            await Given.Echo(reader, writer, stopping);
        },
        "tcp://127.0.0.1:0",
        cancellationToken: Test);

    private static Task<ByteStreamServer> StartAsync() => ByteStream.StartServerAsync(
        async (reader, writer, stopping) =>
        {
            await writer.StartTlsAsync(TestCertificate.Server, stopping);
            await Given.Echo(reader, writer, stopping);
        },
        "tcp://127.0.0.1:0",
        cancellationToken: Test);

    private TlsCertificateOptions WriteServer()
    {
        string key = _folder.File("server.key");
        using (AsymmetricAlgorithm secret =
            (AsymmetricAlgorithm?)TestCertificate.Certificate.GetRSAPrivateKey() ?? TestCertificate.Certificate.GetECDsaPrivateKey()!)
        {
            File.WriteAllText(key, secret.ExportPkcs8PrivateKeyPem());
        }

        return new() { Path = WriteAuthority(), KeyPath = key };
    }

    private string WriteAuthority()
    {
        string path = _folder.File("ca.pem");
        File.WriteAllText(path, TestCertificate.Certificate.ExportCertificatePem());
        return path;
    }
}

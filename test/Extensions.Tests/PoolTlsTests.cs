using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Extensions.Tests;

/// <summary>Clients with TLS: the name of the service is the name of its certificate, wherever its addresses come from.</summary>
public sealed class PoolTlsTests : PoolTest
{
    private readonly TestAuthority _authority = new();

    [Theory]
    [InlineData("orders.test", true)]
    [InlineData("other.test", false)]
    public async Task UseServiceDiscovery_Tls_ChecksTheNameOfTheServiceAndRetriesNoRejection(string certificateName, bool isAccepted)
    {
        using X509Certificate2 certificate = _authority.IssueServer(certificateName);
        ByteStreamServer server = await StartAsync(
            options: new ByteStreamServerOptions { Tls = new SslServerAuthenticationOptions { ServerCertificate = certificate } });
        var tls = new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { _authority.Certificate },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        };
        ServiceProvider provider = Provide(
            "tls://orders.test",
            client => client.UseServiceDiscovery().ConfigureConnection(connection => connection.Tls = tls),
            new Dictionary<string, string?> { ["Services:orders.test:tls:0"] = $"tls://127.0.0.1:{((IPEndPoint)server.EndPoints[0]).Port}" });
        var pool = provider.GetRequiredKeyedService<ByteStreamPool>("echo");

        if (isAccepted)
        {
            Assert.Equal([1], await AskAsync(pool, [1]));
            Assert.Equal([2], await AskAsync(pool, [2]));
            Assert.Single(Accepted);
        }
        else
        {
            await Assert.ThrowsAsync<AuthenticationException>(() => AskAsync(pool, [1]));
            Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 1201);
        }

        // Another client may use the same object.
        Assert.Null(tls.TargetHost);
    }

    [Fact]
    public void ConfigureConnection_TlsWithAPlainUrl_IsAnErrorWithTheRemedy()
    {
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(
            () => Pool("tcp://127.0.0.1:1", client => client.ConfigureConnection(connection => connection.Tls = new SslClientAuthenticationOptions())));

        Assert.Equal("Client 'echo': Tls is set, but the URL is not tls://. Write tls:// in the URL, or do not set Tls.", error.Message);
    }
}

using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ByteStreams.Middleware.Tests.Tls;

/// <summary>Endpoints of a host whose TLS is set in code.</summary>
public sealed class TlsEndpointTests : TlsTest
{
    [Fact]
    public async Task AddEndpoint_TlsUrlAndUseTlsInCode_Serves()
    {
        using IHost host = Built(endpoint => endpoint.UseTls(tls => tls.Certificates.Add(Certificate())));
        await host.StartAsync(Soon);

        await AssertEchoesAsync(host);
    }

    [Fact]
    public async Task AddEndpoint_TlsUrlAndTlsInCode_Serves()
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        using IHost host = Built(endpoint => endpoint.Tls = new() { ServerCertificate = certificate });
        await host.StartAsync(Soon);

        await AssertEchoesAsync(host);
    }

    [Fact]
    public async Task ConfigureEndpoint_TlsUrlAndUseTlsInCode_Serves()
    {
        using IHost host = Built(_ => { }, services => services.ConfigureEndpoint("a", endpoint => endpoint.UseTls(tls => tls.Certificates.Add(Certificate()))));
        await host.StartAsync(Soon);

        await AssertEchoesAsync(host);
    }

    [Fact]
    public async Task AddEndpoint_TlsUrlWithoutTls_IsAnError()
    {
        using IHost host = Built(_ => { });

        EndpointConfigurationException error = await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Soon));

        Assert.StartsWith("AddEndpoint(\"a\"):Tls:Certificates is empty", Assert.Single(error.Errors), StringComparison.Ordinal);
    }

    private TlsCertificateOptions Certificate()
    {
        using X509Certificate2 certificate = Authority.IssueServer("localhost");
        return Write("server", certificate);
    }

    private async Task AssertEchoesAsync(IHost host)
    {
        ByteStreamConnection connection = await ConnectAsync(
            host.Services.GetRequiredService<ByteStreamServers>()["a"].EndPoints[0], options => options.Tls = Client());
        Assert.Equal("hello\n", await AskAsync(connection, "hello\n"));
        await connection.DisposeAsync();
        await host.StopAsync(Soon);
    }

    private static IHost Built(Action<ByteStreamServerOptions> configure, Action<ByteStreamsBuilder>? more = null)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        ByteStreamsBuilder streams = builder.Services.AddByteStreams().AddEndpoint("a", "tls://127.0.0.1:0", Echo, configure);
        more?.Invoke(streams);
        return builder.Build();
    }
}

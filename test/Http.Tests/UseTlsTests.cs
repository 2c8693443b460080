using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Http.Tests;

/// <summary>This library's TLS on endpoints of the application's Kestrel does what <c>UseHttps</c> does.</summary>
public class UseTlsTests : HttpTest
{
    public static IEnumerable<TheoryDataRow<TestedTransport, Endpoint>> TlsEndpoints => Endpoints.Where(row => row.Data.Item2 >= Endpoint.UseHttps);

    [Theory(Timeout = 120000), MemberData(nameof(TlsEndpoints))]
    public async Task Address_EndpointWithTls_IsAnnouncedAsHttps(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(
            transport, endpoint, web => web.MapGet("/", () => "hello"), listen => listen.Protocols = HttpProtocols.Http1AndHttp2);

        Assert.Equal($"https://{application.Address}", Assert.Single(application.Web.Urls));
        Assert.Contains(application.Log.GetSnapshot(), line => line.Message == $"Now listening on: https://{application.Address}");
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(TlsEndpoints))]
    public async Task Request_OverTls_HasSchemeAndHandshake(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", context =>
            context.Response.WriteAsync($"{context.Request.Scheme} {context.Request.IsHttps} {context.Features.Get<ITlsHandshakeFeature>()!.Protocol >= SslProtocols.Tls12}", Soon)));
        using HttpClient client = application.CreateClient();

        Assert.Equal("https True True", await client.GetStringAsync("/", Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(TlsEndpoints))]
    public async Task Alpn_DefaultProtocols_NegotiatesHttp2AndFallsBack(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(
            transport, endpoint, web => web.MapGet("/", context => context.Response.WriteAsync(context.Request.Protocol, Soon)));
        using HttpClient newer = application.CreateClient(HttpVersion.Version20);
        using HttpClient older = application.CreateClient(HttpVersion.Version11);

        Assert.Equal("HTTP/2", await newer.GetStringAsync("/", Soon));
        Assert.Equal("HTTP/1.1", await older.GetStringAsync("/", Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(TlsEndpoints))]
    public async Task Alpn_Http1Only_RefusesHttp2(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(
            transport, endpoint, web => web.MapGet("/", () => "hello"), listen => listen.Protocols = HttpProtocols.Http1);
        using HttpClient newer = application.CreateClient(HttpVersion.Version20);
        using HttpClient older = application.CreateClient(HttpVersion.Version11);

        await Assert.ThrowsAsync<HttpRequestException>(() => newer.GetStringAsync("/", Soon));
        Assert.Equal("hello", await older.GetStringAsync("/", Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task ClientCertificate_Required_IsVisible(TestedTransport transport)
    {
        using X509Certificate2 certificate = Application.IssueClient("alice");
        await using Application application = await Application.StartAsync(
            transport,
            Endpoint.UseTls,
            web => web.MapGet("/", async context =>
            {
                X509Certificate2? shown = await context.Connection.GetClientCertificateAsync(Soon);
                Assert.Same(shown, context.Connection.ClientCertificate);
                await context.Response.WriteAsync(shown!.Subject, Soon);
            }),
            tls: tls =>
            {
                tls.ClientCertificates = ClientCertificates.Require;
                tls.ClientCaPath = Application.WriteAuthority(Path.GetDirectoryName(tls.Certificates[0].Path)!);
            });
        using HttpClient client = application.CreateClient(certificate: certificate);
        using HttpClient stranger = application.CreateClient();

        Assert.Equal("CN=alice", await client.GetStringAsync("/", Soon));
        await Assert.ThrowsAsync<HttpRequestException>(() => stranger.GetStringAsync("/", Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task UseTls_Http3_FailsAtTheStart(TestedTransport transport)
    {
        NotSupportedException error = await Assert.ThrowsAsync<NotSupportedException>(() => Application.StartAsync(
            transport, Endpoint.UseTls, _ => { }, listen => listen.Protocols = HttpProtocols.Http1AndHttp2AndHttp3));

        Assert.Contains("HTTP/3", error.Message, StringComparison.Ordinal);
    }

    [Theory(Timeout = 120000), MemberData(nameof(TlsEndpoints))]
    public async Task Alpn_ByteStreamHandler_OffersNoHttp(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(
            transport,
            endpoint,
            _ => { },
            handler: listen => listen.UseByteStreamHandler(async (reader, writer, stopping) =>
            {
                writer.Write(await reader.ReadLineAsync(stopping));
                await writer.DrainAsync(stopping);
            }));
        using var socket = new NetworkStream(await application.ConnectAsync(Soon), ownsSocket: true);
        using var client = new SslStream(socket);
        SslClientAuthenticationOptions options = Application.ClientTls;
        options.ApplicationProtocols = [new("my-protocol/1")];
        await client.AuthenticateAsClientAsync(options, Soon);

        Assert.Equal(0, client.NegotiatedApplicationProtocol.Protocol.Length);
        await client.WriteAsync("hello\n"u8.ToArray(), Soon);
        var answer = new byte[6];
        await client.ReadExactlyAsync(answer, Soon);
        Assert.Equal("hello\n"u8.ToArray(), answer);
    }

    [Fact(Timeout = 120000)]
    public async Task UseTls_FullBuilder_Serves()
    {
        await using Application slim = await Application.StartAsync(TestedTransport.Stock, Endpoint.UseTls, _ => { });
        string folder = Path.GetDirectoryName(slim.CertificatePath)!;
        WebApplicationBuilder builder = WebApplication.CreateBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.UseTls(tls =>
            tls.Certificates.Add(new() { Path = Path.Combine(folder, "server.pem"), KeyPath = Path.Combine(folder, "server.key") }))));
        await using WebApplication web = builder.Build();

        await web.StartAsync(Soon);

        Assert.StartsWith("https://", Assert.Single(web.Urls), StringComparison.Ordinal);
        await web.StopAsync(Soon);
    }
}

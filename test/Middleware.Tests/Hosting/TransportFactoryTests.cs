using System.Buffers;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Middleware.Tests.Hosting;

public class TransportFactoryTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task AddByteStreamTransport_ApplicationsOwnKestrel_ServesHttpAndHalfCloses()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddByteStreamTransport();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0);
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.UseByteStreamHandler(async (reader, writer, stopping) =>
            {
                writer.Write($"CanWriteEof={writer.CanWriteEof}\n");
                writer.WriteEof();
                Received.SetResult(await reader.ReadAsync(cancellationToken: stopping));
            }));
        });
        await using WebApplication application = builder.Build();
        application.MapGet("/", () => "over HTTP");
        await application.StartAsync(Cancel);
        int[] ports = [.. application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Select(address => new Uri(address).Port)];

        using var http = new HttpClient();
        Assert.Equal("over HTTP", await http.GetStringAsync(new Uri($"http://127.0.0.1:{ports[0]}/"), Cancel));

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", ports[1], cancellationToken: Cancel);
        Assert.Equal("CanWriteEof=True\n"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
        client.Writer.Write("behind the end"u8);
        client.Writer.WriteEof();
        Assert.Equal("behind the end"u8.ToArray(), await Received.Task.WaitAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task AddByteStreamTransport_UseHttps_ServesHttps()
    {
        var authority = new TestAuthority();
        using X509Certificate2 certificate = authority.IssueServer("localhost");
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddByteStreamTransport();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
            kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.UseHttps(certificate)));
        await using WebApplication application = builder.Build();
        byte[] large = new byte[4 << 20];
        new Random(1).NextBytes(large);
        application.MapGet("/", () => Results.Bytes(large));
        await application.StartAsync(Cancel);
        string address = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();

        using var handler = new SocketsHttpHandler();
        handler.SslOptions.RemoteCertificateValidationCallback = (_, shown, _, _) => shown is not null && shown.GetRawCertData().SequenceEqual(certificate.RawData);
        using var http = new HttpClient(handler);
        Assert.Equal(large, await http.GetByteArrayAsync(new Uri($"https://localhost:{new Uri(address).Port}/"), Cancel));
    }

    [Theory(Timeout = 120000)]
    [InlineData("tcp")]
    [InlineData("memory")]
    public async Task BindAndConnect_WithoutThePair_CarryBytesAndTheFeature(string medium)
    {
        var factory = new ByteStreamTransportFactory();
        EndPoint where = medium == "tcp" ? new IPEndPoint(IPAddress.Loopback, 0) : new InMemoryEndPoint(Guid.NewGuid().ToString());
        Assert.True(factory.CanBind(where));
        await using IConnectionListener listener = await factory.BindAsync(where, Cancel);
        await using ConnectionContext near = await factory.ConnectAsync(listener.EndPoint, Cancel);
        await using ConnectionContext far = (await listener.AcceptAsync(Cancel))!;

        await near.Transport.Output.WriteAsync("over there"u8.ToArray(), Cancel);
        await near.Transport.Output.CompleteAsync();

        var result = await far.Transport.Input.ReadAtLeastAsync(100, Cancel);
        Assert.Equal("over there"u8.ToArray(), result.Buffer.ToArray());
        Assert.True(result.IsCompleted);
        Assert.Equal(10, far.Features.Get<IByteStreamTransportFeature>()!.BytesReceived);
        await listener.UnbindAsync(Cancel);
        Assert.Null(await listener.AcceptAsync(Cancel));
    }

    [Fact]
    public async Task Bind_EndPointOfAnotherKind_IsRefused()
    {
        var factory = new ByteStreamTransportFactory();

        Assert.False(factory.CanBind(new DnsEndPoint("localhost", 1)));
        await Assert.ThrowsAsync<NotSupportedException>(async () => await factory.BindAsync(new DnsEndPoint("localhost", 1), Cancel));
    }

    private TaskCompletionSource<byte[]> Received { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

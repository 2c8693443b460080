using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Http.Tests;

/// <summary>The application stops although clients stay connected: no time of this library's close is waited for.</summary>
public class StopTests : HttpTest
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    [Trait("Fault", "F71")]
    public async Task StopAsync_IdleKeepAliveClients_CompletesWithoutThem(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web => web.MapGet("/", () => "hello"));
        RawClient[] clients = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => ConnectAsync(application)));
        foreach (RawClient client in clients)
        {
            await client.SendAsync("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            await client.ReadHeadAsync();
        }

        await application.Web.StopAsync(Soon);

        Assert.False(Soon.IsCancellationRequested);
        Assert.All(clients, client => client.Dispose());
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task StopAsync_ClientsThatSentNothing_CompletesWithoutThem(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web => web.MapGet("/", () => "hello"));
        using RawClient first = await ConnectAsync(application);
        using RawClient second = await ConnectAsync(application);
        await first.SendAsync("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await first.ReadHeadAsync();

        await application.Web.StopAsync(Soon);

        Assert.False(Soon.IsCancellationRequested);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    [Trait("Fault", "F71")]
    public async Task StopAsync_ClientsOfClosedConnectionsStay_CompletesWithoutThem(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint, web => web.MapGet("/", () => "hello"));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        await client.ReadToEndAsync();

        await application.Web.StopAsync(Soon);

        Assert.False(Soon.IsCancellationRequested);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    [Trait("Fault", "F71")]
    public async Task StartAsync_OnThePortOfAStoppedApplicationWithClients_Serves(TestedTransport transport)
    {
        await using Application first = await StartAsync(transport, Endpoint.Tcp, web => web.MapGet("/", () => "first"));
        using RawClient client = await ConnectAsync(first);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await client.ReadHeadAsync();
        int port = ((IPEndPoint)first.Address).Port;
        await first.Web.StopAsync(Soon);

        await using Application second = await Application.StartAsync(
            transport, Endpoint.Unix, web => web.MapGet("/", () => "second"),
            configure: builder => builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port)));
        using var http = new HttpClient();

        Assert.Equal("second", await http.GetStringAsync(new Uri($"http://127.0.0.1:{port}/"), Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    [Trait("Fault", "F71")]
    public async Task StopAsync_RequestInProgress_IsAnsweredFirst(TestedTransport transport, Endpoint endpoint)
    {
        TaskCompletionSource started = Signal();
        TaskCompletionSource stopping = Signal();
        await using Application application = await StartAsync(transport, endpoint, web =>
        {
            web.Lifetime.ApplicationStopping.Register(() => stopping.SetResult());
            web.MapGet("/", async () =>
            {
                started.SetResult();
                await stopping.Task.WaitAsync(Soon);
                return "the last one";
            });
        });
        using HttpClient client = application.CreateClient();
        Task<string> answer = client.GetStringAsync("/", Soon);
        await started.Task.WaitAsync(Soon);

        await application.Web.StopAsync(Soon);

        Assert.Equal("the last one", await answer);
    }

    /// <summary>Serves with times to close that outlast the test.</summary>
    private static Task<Application> StartAsync(TestedTransport transport, Endpoint endpoint, Action<WebApplication> map) =>
        Application.StartAsync(transport, endpoint, map, options: options => options.LingerTimeout = Hour, tls: tls => tls.ShutdownTimeout = Hour);
}

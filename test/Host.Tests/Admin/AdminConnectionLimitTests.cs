using System.Net;
using System.Net.Sockets;
using StreamsHost.Hosting;

namespace StreamsHost.Tests.Admin;

/// <summary>The real host's HTTP side while clients hold connections to it.</summary>
public sealed class AdminConnectionLimitTests : IAsyncLifetime
{
    private readonly List<Socket> _held = [];
    private HostProcess? _host;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HostProcess Host => _host!;

    private Uri Address => new(Host.StatusAddresses[0]);

    public async ValueTask InitializeAsync()
    {
        _host = HostProcess.Start();
        await Host.WaitUntilUpAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _held.ForEach(held => held.Dispose());
        await Host.DisposeAsync();
    }

    [Theory(Timeout = 120000)]
    [InlineData(400, "")]
    [InlineData(2000, "")]
    [InlineData(400, "GET /livez HTTP/1.1\r\nHost: lo")]
    [Trait("Fault", "F82")]
    public async Task Get_IdleConnectionsBeyondTheLimit_IsAnswered(int count, string sent)
    {
        for (int i = 0; i < count; i++)
        {
            await HoldAsync(sent);
        }

        using var client = new HttpClient();

        Assert.Equal("ok\n", await client.GetStringAsync(new Uri(Address, "/livez"), Cancel));
        Assert.Equal("ok\n", await client.GetStringAsync(new Uri(Address, "/readyz"), Cancel));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F82")]
    public async Task Get_ConnectionsBeyondTheLimit_ThoseInUseStay()
    {
        using var used = new HttpClient(new SocketsHttpHandler { MaxConnectionsPerServer = 1 });
        using HttpResponseMessage events = await new HttpClient().GetAsync(
            new Uri(Address, "/events"), HttpCompletionOption.ResponseHeadersRead, Cancel);
        await using Stream stream = await events.Content.ReadAsStreamAsync(Cancel);
        for (int i = 0; i < AdminHosting.MostConnections * 3; i++)
        {
            await HoldAsync(string.Empty);
            if (i % 50 == 0)
            {
                Assert.Equal("ok\n", await used.GetStringAsync(new Uri(Address, "/livez"), Cancel));
            }
        }

        await AssertClosedAsync(_held[0]);

        // A status page has a request in progress for as long as it is open: a sample comes each second.
        byte[] buffer = new byte[65536];
        for (int i = 0; i < 3; i++)
        {
            Assert.NotEqual(0, await stream.ReadAsync(buffer, Cancel));
        }
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F82")]
    public async Task Connect_HeaderThatDoesNotEnd_IsEnded()
    {
        Socket slow = await HoldAsync("GET /livez HTTP/1.1\r\nHost: lo");

        byte[] answer = new byte[1024];
        int count = await slow.ReceiveAsync(answer, SocketFlags.None, Cancel);

        Assert.StartsWith("HTTP/1.1 408 ", System.Text.Encoding.ASCII.GetString(answer, 0, count), StringComparison.Ordinal);
    }

    private static async Task AssertClosedAsync(Socket socket)
    {
        try
        {
            Assert.Equal(0, await socket.ReceiveAsync(new byte[1], SocketFlags.None, Cancel));
        }
        catch (SocketException reset)
        {
            Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        }
    }

    private async Task<Socket> HoldAsync(string sent)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        _held.Add(socket);
        await socket.ConnectAsync(IPAddress.Loopback, Address.Port, Cancel);
        await socket.SendAsync(System.Text.Encoding.ASCII.GetBytes(sent), SocketFlags.None, Cancel);
        return socket;
    }
}

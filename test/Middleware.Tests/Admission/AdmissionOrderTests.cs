using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ByteStreams.Middleware.Tests.Admission;

/// <summary>A client that floods an endpoint takes nothing from the other clients: neither rate, nor permits, nor the queue.</summary>
public sealed class AdmissionOrderTests : ServedTest
{
    private const int Honest = 40;
    private const int Flood = 100;

    public static TheoryData<bool> Proxied => [false, true];

    [Theory, MemberData(nameof(Proxied))]
    [Trait("Fault", "F47")]
    public async Task Connect_OneClientFloodsTheEndpointsRate_EachOtherClientIsServed(bool proxied)
    {
        // The flooder's own rate is the endpoint's refill, so a slow machine changes nothing.
        using IHost host = await StartAsync(
            proxied,
            ("Admission:ConnectionsPerSecond", "1"), ("Admission:Burst", $"{Honest + 5}"),
            ("Admission:ConnectionsPerSecondPerClient", "1"), ("Admission:BurstPerClient", "5"));

        await FloodAsync(host, proxied);

        Assert.Equal(Honest, await ServedAsync(host, proxied));
        await host.StopAsync(Soon);
    }

    [Theory, MemberData(nameof(Proxied))]
    [Trait("Fault", "F47")]
    public async Task Connect_ADeniedClientFloods_EachOtherClientIsServed(bool proxied)
    {
        using IHost host = await StartAsync(
            proxied,
            ("Access:Deny", proxied ? "192.0.2.1" : "127.0.0.2"),
            ("Admission:ConnectionsPerSecond", "1"), ("Admission:Burst", $"{Honest}"), ("Admission:MaxConnections", $"{Honest}"));

        await FloodAsync(host, proxied);

        Assert.Equal(Honest, await ServedAsync(host, proxied));
        await host.StopAsync(Soon);
    }

    [Theory, MemberData(nameof(Proxied))]
    [Trait("Fault", "F47")]
    public async Task Connect_OneClientFloodsTheQueue_EachOtherClientIsQueuedAndServed(bool proxied)
    {
        const int Places = 8;
        using IHost host = await StartAsync(
            proxied, ("Admission:MaxConnections", $"{Places}"), ("Admission:WhenFull", "Queue"), ("Admission:QueueLength", "16"));
        int served = 0;
        for (int wave = 0; wave < 4; wave++)
        {
            ByteStreamConnection[] holders = await Task.WhenAll(Enumerable.Range(0, Places).Select(_ => OpenAsync(host, proxied, 200)));
            Assert.All(await Task.WhenAll(holders.Select(holder => AskAsync(holder, "in\n"))), answer => Assert.Equal("in\n", answer));
            long before = Endpoint(host).Accepted;
            var flood = new List<ByteStreamConnection>();
            for (int i = 0; i < 20; i++)
            {
                // A refusal may come as early as the connect.
                if (await Record.ExceptionAsync(async () => flood.Add(await OpenAsync(host, proxied, 1))) is Exception refused)
                {
                    Assert.True(refused is IOException or SocketException, refused.ToString());
                }
            }

            // A quarter of the queue is the flooder's at most: 4 wait, and 16 have been refused.
            await Patience.UntilAsync(() => Endpoint(host) is { } now && now.Accepted == before + 20 && now.Active == Places + 4);
            Task<string?>[] asking = [.. Enumerable.Range(0, 10).Select(i => TryAskAsync(host, proxied, 10 + i))];
            await Patience.UntilAsync(() => Endpoint(host).Accepted, now => now == before + 30);
            foreach (ByteStreamConnection holder in holders)
            {
                await holder.DisposeAsync();
            }

            served += (await Task.WhenAll(asking)).Count(answer => answer == "hello\n");
            foreach (ByteStreamConnection flooding in flood)
            {
                await flooding.DisposeAsync();
            }

            await Patience.UntilAsync(() => Endpoint(host).Active, now => now == 0);
        }

        Assert.Equal(Honest, served);
        await host.StopAsync(Soon);
    }

    [Fact]
    public async Task Connect_BehindAProxyAndFull_IsRefusedBeforeItsHeader()
    {
        using IHost host = await StartAsync(proxied: true, ("Admission:MaxConnections", "1"));
        ByteStreamConnection first = await OpenAsync(host, proxied: true, 1);
        Assert.Equal("1\n", await AskAsync(first, "1\n"));

        await AssertRefusedAsync(host.Services.GetRequiredService<ByteStreamServers>()["front"].EndPoints[0]);

        Assert.Equal("2\n", await AskAsync(first, "2\n"));
        await host.StopAsync(Soon);
    }

    private static EndpointSnapshot Endpoint(IHost host) => host.Services.GetRequiredService<ByteStreamMetrics>().Endpoint("front").Snapshot();

    private async Task<IHost> StartAsync(bool proxied, params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        (string, string)[] proxy = proxied ? [("ProxyProtocol:TrustedNetworks", "127.0.0.0/8")] : [];
        builder.Configuration.AddInMemoryCollection(
            settings.Concat(proxy).Append(("Url", "tcp://127.0.0.1:0")).Append(("Handler", "echo"))
                .Select(setting => new KeyValuePair<string, string?>($"ByteStreams:Endpoints:front:{setting.Item1}", setting.Item2)));
        builder.Services.AddByteStreams().AddHandler("echo", Echo).LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        IHost host = builder.Build();
        await host.StartAsync(Soon);
        return host;
    }

    /// <summary>Connects as a client: by an address of its own, or by the header that a proxy sends for it.</summary>
    private async Task<ByteStreamConnection> OpenAsync(IHost host, bool proxied, int client)
    {
        ByteStreamConnection connection = await ConnectAsync(
            host.Services.GetRequiredService<ByteStreamServers>()["front"].EndPoints[0],
            options => options.LocalEndPoint = proxied ? null : new IPEndPoint(new IPAddress([127, 0, 0, (byte)(client + 1)]), 0));
        if (proxied)
        {
            connection.Writer.Write($"PROXY TCP4 192.0.2.{client} 198.51.100.1 1000 80\r\n");
        }

        return connection;
    }

    private async Task<string?> TryAskAsync(IHost host, bool proxied, int client)
    {
        try
        {
            ByteStreamConnection connection = await OpenAsync(host, proxied, client);
            string answer = await AskAsync(connection, "hello\n");
            await connection.DisposeAsync();
            return answer;
        }
        catch (Exception refused) when (refused is IOException or SocketException)
        {
            return null;
        }
    }

    private async Task FloodAsync(IHost host, bool proxied)
    {
        for (int i = 0; i < Flood; i++)
        {
            await TryAskAsync(host, proxied, 1);
        }
    }

    private async Task<int> ServedAsync(IHost host, bool proxied)
    {
        int served = 0;
        for (int i = 0; i < Honest; i++)
        {
            served += await TryAskAsync(host, proxied, 10 + i) == "hello\n" ? 1 : 0;
        }

        return served;
    }
}

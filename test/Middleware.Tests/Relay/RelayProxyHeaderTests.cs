using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>P6: the PROXY header that a relay sends to its upstreams.</summary>
public sealed class RelayProxyHeaderTests : RelayTest
{
    [Theory]
    [InlineData(SendProxyHeader.V1, "PROXY UNKNOWN\r\n")]
    [InlineData(SendProxyHeader.V2, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")]
    [Trait("Fault", "P6")]
    public async Task HealthCheck_SendProxyHeader_SendsLocal_P6(SendProxyHeader version, string header)
    {
        var time = new FakeTimeProvider();
        var received = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) => received.TrySetResult(await reader.ReadAsync(cancellationToken: stopping)));
        var options = new RelayOptions
        {
            Upstreams = { url },
            HealthCheckInterval = TimeSpan.FromSeconds(1),
            SendProxyHeader = version,
            Connection = { TimeProvider = time },
        };
        using var relay = new ByteStreamRelay(options);

        await AdvanceUntilAsync(time, () => received.Task.IsCompleted);

        Assert.Equal(header, Text(await received.Task));
    }

    /// <summary>client -> relay -> relay -> upstream: the second relay was told by the first one who the client is.</summary>
    [Theory]
    [InlineData(SendProxyHeader.V1)]
    [InlineData(SendProxyHeader.V2)]
    [Trait("Fault", "P6")]
    public async Task Relay_ChainedToAnotherRelay_ForwardsTheReceivedSource_P6(SendProxyHeader version)
    {
        string url = await ServeUpstreamAsync(
            "tcp",
            (_, writer, _) =>
            {
                writer.Write($"{writer.RemoteEndPoint}\n");
                return Task.CompletedTask;
            },
            surround: options => options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")));
        ByteStreamRelay second = Own(new ByteStreamRelay(new RelayOptions { Upstreams = { url }, SendProxyHeader = version }));
        string middle = await ServeUpstreamAsync("tcp", second.ServeAsync, surround: options => options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")));
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay =>
        {
            relay.SendProxyHeader = version;
            relay.Upstreams.Add(middle);
        }));

        Assert.Equal($"{connection.Writer.LocalEndPoint}\n", Text(await connection.Reader.ReadLineAsync(Soon)));
    }

    [Fact]
    [Trait("Fault", "P6")]
    public async Task Relay_SendProxyHeader_UpstreamKnowsTheClient_P6()
    {
        foreach (SendProxyHeader version in (SendProxyHeader[])[SendProxyHeader.V1, SendProxyHeader.V2])
        {
            string url = await ServeUpstreamAsync(
                "tcp",
                (_, writer, _) =>
                {
                    writer.Write($"{writer.RemoteEndPoint}\n");
                    return Task.CompletedTask;
                },
                surround: options => options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")));
            ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay =>
            {
                relay.SendProxyHeader = version;
                relay.Upstreams.Add(url);
            }));

            Assert.Equal($"{connection.Writer.LocalEndPoint}\n", Text(await connection.Reader.ReadLineAsync(Soon)));
        }
    }
}

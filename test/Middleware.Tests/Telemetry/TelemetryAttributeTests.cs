using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Middleware.Tests.Telemetry;

/// <summary>The attributes of a connection's activity that OpenTelemetry's semantic conventions name.</summary>
public sealed class TelemetryAttributeTests : ServedTest
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Trace_WithAndWithoutAProxy_HasTheAttributesOfClientServerAndNetwork(bool hasProxy)
    {
        string name = $"attributes-{hasProxy}";
        var ended = new TaskCompletionSource<Activity>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "ByteStreams",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (Equals(activity.GetTagItem("bytestreams.endpoint"), name))
                {
                    ended.TrySetResult(activity);
                }
            },
        };
        ActivitySource.AddActivityListener(listener);
        Served served = await ServeAsync(
            Carrier.Own,
            builder =>
            {
                builder.UseTelemetry(telemetry => telemetry.Endpoint = name);
                if (hasProxy)
                {
                    builder.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8"));
                }
            },
            async (reader, _, stopping) => await reader.ReadAsync(cancellationToken: stopping));
        var options = new ByteStreamClientOptions
        {
            ProxyHeader = hasProxy ? new ProxyHeader { Source = new IPEndPoint(IPAddress.Parse("192.0.2.7"), 5000), Destination = served.EndPoint } : null,
        };
        await using (ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(served.EndPoint, options, Soon))
        {
            connection.Writer.WriteEof();
            await connection.Reader.ReadAsync(cancellationToken: Soon);
        }

        Activity activity = await ended.Task.WaitAsync(Soon);

        Assert.Equal("tcp", activity.GetTagItem("network.transport"));
        Assert.Equal("ipv4", activity.GetTagItem("network.type"));
        Assert.Equal("127.0.0.1", activity.GetTagItem("network.peer.address"));
        Assert.Equal("127.0.0.1", activity.GetTagItem("server.address"));
        Assert.Equal(((IPEndPoint)served.EndPoint).Port, activity.GetTagItem("server.port"));
        Assert.Equal(hasProxy ? "192.0.2.7" : "127.0.0.1", activity.GetTagItem("client.address"));
        Assert.Equal(hasProxy ? 5000 : activity.GetTagItem("network.peer.port"), activity.GetTagItem("client.port"));
    }
}

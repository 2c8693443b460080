using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>The adapter on an endpoint of an application's own Kestrel, over its stock transport.</summary>
public sealed class KestrelTests
{
    [Fact]
    public async Task Adapt_OnStockKestrel_Echoes()
    {
        await using WebApplication app = await Start(Given.Echo);
        await using ByteStreamConnection client = await Connect(app);
        client.Writer.Write("x\n");
        Assert.Equal("x\n"u8.ToArray(), await client.Line());
    }

    [Fact]
    [Trait("Contract", "W3")]
    public async Task WriteEof_OnStockKestrel_IsRefusedHonestly()
    {
        var seen = new TaskCompletionSource<(bool Can, Exception? Error)>();
        await using WebApplication app = await Start((_, writer, _) =>
        {
            seen.SetResult((writer.CanWriteEof, Record.Exception(writer.WriteEof)));
            writer.Write("still open");
            return Task.CompletedTask;
        });
        await using ByteStreamConnection client = await Connect(app);
        Assert.Equal("still open"u8.ToArray(), await client.Rest());
        (bool can, Exception? error) = await seen.Task.Soon();
        Assert.False(can);
        Assert.IsType<NotSupportedException>(error);
    }

    [Fact]
    [Trait("Contract", "S2")]
    public async Task Return_OnStockKestrel_DeliversTheReplyAndTheEnd()
    {
        await using WebApplication app = await Start((_, writer, _) =>
        {
            writer.Write("small reply\n");
            return Task.CompletedTask;
        });
        await using ByteStreamConnection client = await Connect(app);
        Assert.Equal("small reply\n"u8.ToArray(), await client.Rest());
    }

    [Fact]
    [Trait("Contract", "S1")]
    [Trait("Fault", "F40")]
    public async Task Throw_OnStockKestrel_ResetsAndLogsOneError()
    {
        using ILoggerFactory logs = Given.Logs(out FakeLogCollector collector);
        await using (WebApplication app = await Start(async (reader, _, _) =>
        {
            await reader.ReadLineAsync(CancellationToken.None);
            throw new FormatException("bad");
        }, logs))
        {
            await using ByteStreamConnection client = await Connect(app);
            client.Writer.Write("x\n");
            await Assert.ThrowsAsync<ConnectionResetException>(() => client.Rest());
        }

        Assert.IsType<FormatException>(Assert.Single(collector.AtLeast(LogLevel.Warning)).Exception);
    }

    [Fact]
    [Trait("Contract", "W13")]
    public async Task Write_AfterThePeersEndOnStockKestrel_IsDelivered()
    {
        await using WebApplication app = await Start(async (reader, writer, _) =>
        {
            var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await using CancellationTokenRegistration fired = writer.Transport!.ConnectionClosed.Register(ended.SetResult);
            byte[] request = await reader.ReadAsync(cancellationToken: CancellationToken.None);

            // Kestrel's token fires at the peer's end, which is not the end of the connection.
            await ended.Task.Soon();
            Assert.False(writer.IsClosing);
            writer.Write(request);
            await writer.DrainAsync(CancellationToken.None);
        }, surround: endPoint => endPoint.UseTelemetry());
        await using ByteStreamConnection client = await Connect(app);
        client.Writer.Write("hello");
        client.Writer.WriteEof();
        Assert.Equal("hello"u8.ToArray(), await client.Rest());
    }

    private static async Task<WebApplication> Start(
        ByteStreamDelegate handler, ILoggerFactory? logs = null, Action<IConnectionBuilder>? surround = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        if (logs is not null)
        {
            builder.Services.AddSingleton(logs);
        }

        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(
            IPAddress.Loopback,
            0,
            endPoint =>
            {
                surround?.Invoke(endPoint);
                endPoint.Run(new ByteStreamConnectionHandler(handler, loggerFactory: logs).OnConnectedAsync);
            }));
        WebApplication app = builder.Build();
        await app.StartAsync(TestContext.Current.CancellationToken).Soon();
        return app;
    }

    private static Task<ByteStreamConnection> Connect(WebApplication app)
    {
        string address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return ByteStream.OpenConnectionAsync("127.0.0.1", new Uri(address).Port, null, TestContext.Current.CancellationToken).Soon();
    }
}

using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Middleware.Tests.Connections;

/// <summary>The order of a connection's life.</summary>
public sealed class ConnectionRunnerTests
{
    [Fact]
    public async Task RunAsync_PipelineReturns_ReleasesInReverseOrder()
    {
        var released = new List<string>();
        ConnectionState connection = Create();

        await ConnectionRunner.RunAsync(connection, _ =>
        {
            connection.Add(new Resource("first", released));
            connection.Add(new Resource("second", released));
            return Task.CompletedTask;
        });

        Assert.Equal(["second", "first"], released);
    }

    [Fact]
    public async Task RunAsync_PipelineThrows_ReleasesAndThrowsToKestrel()
    {
        var released = new List<string>();
        ConnectionState connection = Create();
        var failure = new InvalidOperationException("middleware");

        Exception? thrown = await Record.ExceptionAsync(() => ConnectionRunner.RunAsync(connection, async _ =>
        {
            connection.Add(new Resource("only", released));
            await Task.Yield();
            throw failure;
        }));

        Assert.Same(failure, thrown);
        Assert.Equal(["only"], released);
    }

    [Fact]
    public void LeadsToHandler_OnlyForwardingMiddleware_IsTrue()
    {
        var options = new ByteStreamServerOptions().UseTelemetry().UseAdmission(admission => admission.MaxConnections = 1).UseTimeouts();

        Assert.True(ConnectionMiddleware.LeadsToHandler(options.Build(Handler(), out _)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void LeadsToHandler_MiddlewareWithWorkAfterTheNext_IsFalse(bool isOutermost)
    {
        var options = new ByteStreamServerOptions();
        if (isOutermost)
        {
            options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1")).UseTelemetry();
        }
        else
        {
            options.UseTelemetry().Use(next => async context => await next(context)).UseTimeouts();
        }

        Assert.False(ConnectionMiddleware.LeadsToHandler(options.Build(Handler(), out _)));
    }

    private static ConnectionState Create() => ConnectionState.Create(new DefaultConnectionContext(), completesHandler: false);

    private static ConnectionDelegate Handler() => new ByteStreamConnectionHandler((_, _, _) => Task.CompletedTask).OnConnectedAsync;

    private sealed class Resource(string name, List<string> released) : ConnectionResource
    {
        public override void Release() => released.Add(name);
    }
}

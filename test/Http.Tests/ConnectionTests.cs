using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;

namespace ByteStreams.Http.Tests;

/// <summary>What connection middleware and connection handlers find on a connection of the application's Kestrel.</summary>
public class ConnectionTests : HttpTest
{
    private readonly TaskCompletionSource _started = Signal();
    private readonly TaskCompletionSource _aborted = Signal();

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task FlushAsync_AfterThePeersReset_ReturnsIsCompleted(TestedTransport transport, Endpoint endpoint)
    {
        // The writer over SslStream never completes: there the flushes return until ConnectionClosed fires.
        bool isTls = endpoint is Endpoint.UseHttps or Endpoint.UseTls;
        var flushed = Signal<FlushResult>();
        await using Application application = await Application.StartAsync(transport, endpoint, _ => { }, handler: listen => listen.Run(async connection =>
        {
            try
            {
                FlushResult result;
                do
                {
                    result = await connection.Transport.Output.WriteAsync(new byte[65536], Soon);
                }
                while (!result.IsCompleted && !(isTls && connection.ConnectionClosed.IsCancellationRequested));
                flushed.SetResult(result);
            }
            catch (Exception error)
            {
                flushed.SetException(error);
                throw;
            }
        }));
        using RawClient client = await ConnectAsync(application);
        await client.ReadExactlyAsync(10_000);

        await client.LeaveAsync(Departure.Reset);

        FlushResult last = await flushed.Task.WaitAsync(Soon);
        Assert.True(isTls || last.IsCompleted);
        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task FlushAsync_AfterAbort_ReturnsIsCompleted(TestedTransport transport)
    {
        var flushed = Signal<FlushResult>();
        await using Application application = await Application.StartAsync(transport, Endpoint.Tcp, _ => { }, handler: listen => listen.Run(async connection =>
        {
            await connection.Transport.Input.ReadAsync(Soon);
            connection.Abort();
            FlushResult result;
            do
            {
                result = await connection.Transport.Output.WriteAsync(new byte[65536], Soon);
            }
            while (!result.IsCompleted);
            flushed.SetResult(result);
        }));

        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("hello");

        Assert.True((await flushed.Task.WaitAsync(Soon)).IsCompleted);
    }

    /// <summary>Without a reason, as Kestrel aborts where the client has left: a FIN, in place of a reset.</summary>
    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Abort_WithoutAReason_SendsFin(TestedTransport transport) => Assert.Null(await AbortAsync(transport, null));

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Abort_WithAReason_SendsReset(TestedTransport transport)
    {
        Exception? error = await AbortAsync(transport, new ConnectionAbortedException("It is enough."));

        Assert.Equal(SocketError.ConnectionReset, Assert.IsType<SocketException>(Assert.IsType<IOException>(error).InnerException).SocketErrorCode);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task ReadAsync_AfterThePeersReset_ThrowsConnectionReset(TestedTransport transport)
    {
        var read = Signal<Exception?>();
        await using Application application = await Application.StartAsync(transport, Endpoint.Tcp, _ => { }, handler: listen => listen.Run(async connection =>
        {
            _started.SetResult();
            read.SetResult(await Record.ExceptionAsync(async () => await connection.Transport.Input.ReadAsync(Soon)));
        }));
        using RawClient client = await ConnectAsync(application);
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(Departure.Reset);

        Assert.IsType<ConnectionResetException>(await read.Task.WaitAsync(Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task ConnectionClosed_SetByMiddleware_ReachesRequestAborted(TestedTransport transport, Endpoint endpoint)
    {
        var linked = Signal<CancellationTokenSource>();
        await using Application application = await Application.StartAsync(
            transport,
            endpoint,
            web => web.MapGet("/", async context =>
            {
                using CancellationTokenRegistration registration = context.RequestAborted.UnsafeRegister(_ => _aborted.SetResult(), null);
                _started.SetResult();
                await _aborted.Task.WaitAsync(Soon);
            }),
            listen => listen.Use(next => async connection =>
            {
                CancellationToken before = connection.ConnectionClosed;
                using var source = CancellationTokenSource.CreateLinkedTokenSource(before);
                connection.ConnectionClosed = source.Token;
                Assert.Equal(source.Token, connection.Features.Get<IConnectionLifetimeFeature>()!.ConnectionClosed);
                linked.SetResult(source);
                try
                {
                    await next(connection);
                }
                finally
                {
                    connection.ConnectionClosed = before;
                }
            }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await _started.Task.WaitAsync(Soon);

        await (await linked.Task).CancelAsync();

        await _aborted.Task.WaitAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task ConnectionClosed_LinkedByMiddleware_FiresWhenTheClientLeaves(TestedTransport transport)
    {
        await using Application application = await Application.StartAsync(
            transport,
            Endpoint.Tcp,
            web => web.MapGet("/", async context =>
            {
                using CancellationTokenRegistration registration = context.RequestAborted.UnsafeRegister(_ => _aborted.SetResult(), null);
                _started.SetResult();
                await _aborted.Task.WaitAsync(Soon);
            }),
            listen => listen.Use(next => async connection =>
            {
                IConnectionLifetimeFeature lifetime = connection.Features.Get<IConnectionLifetimeFeature>()!;
                using var source = CancellationTokenSource.CreateLinkedTokenSource(lifetime.ConnectionClosed);
                lifetime.ConnectionClosed = source.Token;
                await next(connection);
            }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(Departure.Close);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task MemoryPoolFeature_AnyConnection_RentsMemory(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", context =>
        {
            using IMemoryOwner<byte> memory = context.Features.Get<IMemoryPoolFeature>()!.MemoryPool.Rent(4096);
            return context.Response.WriteAsync($"{memory.Memory.Length >= 4096}", Soon);
        }));
        using HttpClient client = application.CreateClient();

        Assert.Equal("True", await client.GetStringAsync("/", Soon));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task Features_AnyConnection_AreStocks(TestedTransport transport, Endpoint endpoint)
    {
        Type[] expected =
        [
            typeof(IConnectionIdFeature), typeof(IConnectionItemsFeature), typeof(IConnectionTransportFeature), typeof(IMemoryPoolFeature),
            typeof(IConnectionLifetimeFeature), typeof(IConnectionSocketFeature),
            typeof(IConnectionLifetimeNotificationFeature), typeof(IConnectionHeartbeatFeature), typeof(IConnectionCompleteFeature),
        ];
        var missing = Signal<Type[]>();
        await using Application application = await Application.StartAsync(
            transport, endpoint, web => web.MapGet("/", () => "hello"), listen => listen.Use(next => connection =>
            {
                missing.TrySetResult([.. expected.Where(feature => connection.Features[feature] is null)]);
                return next(connection);
            }));
        using HttpClient client = application.CreateClient();

        Assert.Equal("hello", await client.GetStringAsync("/", Soon));
        Assert.Empty(await missing.Task);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Connection_RequestOverTcp_HasAddressesAndId(TestedTransport transport)
    {
        await using Application application = await Application.StartAsync(transport, Endpoint.Tcp, web => web.MapGet("/", context =>
        {
            Assert.NotEmpty(context.Connection.Id);
            return context.Response.WriteAsync(
                $"{context.Connection.LocalIpAddress}:{context.Connection.LocalPort} {context.Connection.RemoteIpAddress} {context.Connection.RemotePort > 0}", Soon);
        }));
        using HttpClient client = application.CreateClient();

        Assert.Equal($"{application.Address} 127.0.0.1 True", await client.GetStringAsync("/", Soon));
    }

    private async Task<Exception?> AbortAsync(TestedTransport transport, ConnectionAbortedException? reason)
    {
        await using Application application = await Application.StartAsync(transport, Endpoint.Tcp, _ => { }, handler: listen => listen.Run(async connection =>
        {
            ReadResult read = await connection.Transport.Input.ReadAsync(Soon);
            connection.Transport.Input.AdvanceTo(read.Buffer.End);
            connection.Abort(reason!);
            await _aborted.Task.WaitAsync(Soon);
        }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("hello");

        Exception? error = await Record.ExceptionAsync(client.ReadToEndAsync);
        _aborted.SetResult();
        return error;
    }
}

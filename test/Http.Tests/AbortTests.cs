using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;

namespace ByteStreams.Http.Tests;

/// <summary>A client that leaves is noticed while the application serves it.</summary>
public class AbortTests : HttpTest
{
    private static readonly byte[] Chunk = new byte[65536];

    private readonly TaskCompletionSource _started = Signal();
    private readonly TaskCompletionSource _aborted = Signal();
    private readonly TaskCompletionSource _ended = Signal();

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    [Trait("Fault", "F70")]
    public async Task RequestAborted_ClientLeavesMidRequest_Fires(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", WaitAsync));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(departure);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    public async Task ConnectionClosed_ClientLeavesMidRequest_Fires(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", async context =>
        {
            using CancellationTokenRegistration registration =
                context.Features.Get<IConnectionLifetimeFeature>()!.ConnectionClosed.UnsafeRegister(_ => _aborted.SetResult(), null);
            _started.SetResult();
            await _aborted.Task.WaitAsync(Soon);
        }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(departure);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    public async Task RequestAborted_ClientLeavesAfterUploading_Fires(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapPost("/", async context =>
        {
            await context.Request.Body.ReadExactlyAsync(new byte[5], Soon);
            await WaitAsync(context);
        }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(departure);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    public async Task RequestBody_ClientLeavesMidUpload_Throws(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapPost("/", async context =>
        {
            await context.Request.Body.ReadExactlyAsync(new byte[5], Soon);
            _started.SetResult();
            Exception? error = await Record.ExceptionAsync(async () => await context.Request.Body.ReadExactlyAsync(new byte[5], Soon));
            Conclude(error is IOException or OperationCanceledException, error);
        }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello");
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(departure);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    [Trait("Fault", "F70")]
    public async Task RequestAborted_ClientLeavesMidResponse_FiresAndWritesEnd(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", PourAsync));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        await client.ReadExactlyAsync(100_000);

        await client.LeaveAsync(departure);
        if (departure == Departure.HalfClose)
        {
            _ = client.ReadToEndAsync();
        }

        await _aborted.Task.WaitAsync(Soon);
        await _ended.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task Response_ClientHasHalfClosed_IsDroppedAndTheConnectionClosed(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapPost("/", async context =>
        {
            await context.Request.Body.ReadExactlyAsync(new byte[5], Soon);
            await WaitAsync(context);
            context.Response.ContentLength = 7;
            await context.Response.WriteAsync("goodbye", Soon);
        }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello");
        await _started.Task.WaitAsync(Soon);

        await client.LeaveAsync(Departure.HalfClose);

        Assert.Empty(await client.ReadToEndAsync());
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    [Trait("Fault", "F70")]
    public async Task RequestAborted_ServerSentEventsClientVanishes_Fires(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/events", async context =>
        {
            context.Response.ContentType = "text/event-stream";
            await context.Response.WriteAsync("data: first\n\n", Soon);
            await context.Response.Body.FlushAsync(Soon);
            await WaitAsync(context);
        }));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Assert.Contains("text/event-stream", await client.ReadHeadAsync(), StringComparison.Ordinal);
        await client.ReadExactlyAsync("d\r\ndata: first\n\n\r\n".Length);

        await client.LeaveAsync(Departure.Close);

        await _aborted.Task.WaitAsync(Soon);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    [Trait("Fault", "F70")]
    public async Task Log_FiftyClientsLeaveMidResponse_HasNoWarning(TestedTransport transport, Endpoint endpoint)
    {
        const int Clients = 50;
        int ended = 0;
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", async context =>
        {
            await WriteUntilAbortedAsync(context);
            if (Interlocked.Increment(ref ended) == Clients)
            {
                _ended.SetResult();
            }
        }));

        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async number =>
        {
            using RawClient client = await ConnectAsync(application);
            await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            await client.ReadExactlyAsync(10_000);
            await client.LeaveAsync(number % 2 == 0 ? Departure.Reset : Departure.Close);
        }));

        await _ended.Task.WaitAsync(Soon);
        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Departures))]
    public async Task Log_IdleClientLeaves_HasNoWarning(TestedTransport transport, Endpoint endpoint, Departure departure)
    {
        await using Application application = await Application.StartAsync(transport, endpoint, web => web.MapGet("/", () => "hello"));
        using RawClient client = await ConnectAsync(application);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        await client.ReadHeadAsync();

        await client.LeaveAsync(departure);

        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    private async Task WaitAsync(HttpContext context)
    {
        using CancellationTokenRegistration registration = context.RequestAborted.UnsafeRegister(_ => _aborted.SetResult(), null);
        _started.SetResult();
        await _aborted.Task.WaitAsync(Soon);
    }

    private async Task PourAsync(HttpContext context)
    {
        using CancellationTokenRegistration registration = context.RequestAborted.UnsafeRegister(_ => _aborted.SetResult(), null);
        await WriteUntilAbortedAsync(context);
        _ended.SetResult();
    }

    private static async Task WriteUntilAbortedAsync(HttpContext context)
    {
        while (!context.RequestAborted.IsCancellationRequested)
        {
            // Without the token: a write to a client that has left is ignored by Kestrel.
            await context.Response.Body.WriteAsync(Chunk, CancellationToken.None);
            await Task.Yield();
        }
    }

    private void Conclude(bool isExpected, Exception? error)
    {
        if (isExpected)
        {
            _aborted.SetResult();
        }
        else
        {
            _aborted.SetException(new InvalidOperationException($"The read ended with {error?.ToString() ?? "bytes"}."));
        }
    }
}

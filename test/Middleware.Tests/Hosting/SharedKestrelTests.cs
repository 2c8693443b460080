using System.Diagnostics;
using System.Net;
using ByteStreams.Server;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>F80: one Kestrel server, and its timer thread, is enough for all endpoints of a host.</summary>
[Trait("Fault", "F80")]
public sealed class SharedKestrelTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Acquire_SameLoggerFactory_IsTheSameServerUntilTheLastUser_F80()
    {
        using var one = new LoggerFactory();
        using var other = new LoggerFactory();

        ListenerKestrel first = await ListenerKestrel.AcquireAsync(one);
        ListenerKestrel second = await ListenerKestrel.AcquireAsync(one);
        ListenerKestrel others = await ListenerKestrel.AcquireAsync(other);
        Assert.Same(first, second);
        Assert.NotSame(first, others);

        await first.DisposeAsync();
        Assert.Same(second, await ListenerKestrel.AcquireAsync(one));
        await second.DisposeAsync();
        await second.DisposeAsync();
        await using ListenerKestrel anew = await ListenerKestrel.AcquireAsync(one);
        Assert.NotSame(second, anew);
        await others.DisposeAsync();
    }

    [Fact(Timeout = 120000)]
    public async Task Dispose_OneOfTwoServers_TheOtherServesAndItsConnectionsGoOn_F80()
    {
        var options = new ByteStreamServerOptions { LoggerFactory = NullLoggerFactory.Instance };
        ByteStreamServer first = await ByteStream.StartServerAsync(EchoAsync, "127.0.0.1", 0, options, Cancel);
        await using ByteStreamServer second = await ByteStream.StartServerAsync(EchoAsync, "127.0.0.1", 0, options, Cancel);
        await using ByteStreamConnection old = await ByteStream.OpenConnectionAsync(second.EndPoints[0], cancellationToken: Cancel);
        await ReloadedHost.AnswersAsync(old, "before", "before");

        await first.DisposeAsync();

        await ReloadedHost.AnswersAsync(old, "after", "after");
        await using ByteStreamConnection late = await ByteStream.OpenConnectionAsync(second.EndPoints[0], cancellationToken: Cancel);
        await ReloadedHost.AnswersAsync(late, "hello", "hello");
    }

    [Fact(Timeout = 240000)]
    public async Task Start_500Endpoints_100TakeAtMost100ms_F80()
    {
        const int count = 500;
        await TimeAsync(1);
        TimeSpan few = await TimeAsync(1);

        TimeSpan many = await TimeAsync(count);

        Assert.InRange(many - few, TimeSpan.MinValue, Patience.OnThisMachine(TimeSpan.FromMilliseconds(count)));
    }

    private static async Task<TimeSpan> TimeAsync(int count)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        ByteStreamsBuilder streams = builder.Services.AddByteStreams().AddHandler("echo", EchoAsync);
        for (int i = 0; i < count; i++)
        {
            streams.AddEndpoint($"e{i}", "tcp://127.0.0.1:0", "echo");
        }

        using IHost host = builder.Build();
        long start = Stopwatch.GetTimestamp();
        await host.StartAsync(Cancel);
        TimeSpan taken = Stopwatch.GetElapsedTime(start);
        EndPoint last = host.Services.GetRequiredService<ByteStreamServers>()[$"e{count - 1}"].EndPoints[0];
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(last, cancellationToken: Cancel))
        {
            await ReloadedHost.AnswersAsync(client, "hello", "hello");
        }

        await host.StopAsync(Cancel);
        return taken;
    }

    private static async Task EchoAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            writer.Write(line);
            await writer.DrainAsync(stopping);
        }
    }
}

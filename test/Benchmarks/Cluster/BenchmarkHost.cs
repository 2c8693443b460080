using System.Collections.Concurrent;
using System.Net;
using ByteStreams;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using StackExchange.Redis;

namespace Benchmarks.Cluster;

/// <summary>A cluster host. The first line of a client is the group to join, or "> GROUP" for a sender, whose further lines go to the group.</summary>
internal static class BenchmarkHost
{
    public static async Task RunAsync(BackplaneKind backplane, string cluster, int port, int silo, string redis)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        ByteStreamsBuilder streams = builder.Services.AddByteStreams().AddHandler<Pair>("pair").AddEndpoint("pair", $"tcp://127.0.0.1:{port}", "pair");
        if (backplane != BackplaneKind.Redis)
        {
            builder.UseOrleans(orleans => orleans.UseRedisClustering(redis).ConfigureEndpoints(IPAddress.Loopback, silo, gatewayPort: 0)
                .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (cluster, cluster)));
        }

        switch (backplane)
        {
            case BackplaneKind.Link:
                streams.AddOrleansBackplane();
                builder.Services.AddSingleton<ICarrier, LinkCarrier>();
                break;
            case BackplaneKind.Grain:
                builder.Services.AddSingleton<ICarrier, GrainCarrier>();
                break;
            default:
                builder.Services.AddSingleton<ICarrier>(services => new RedisCarrier(ConnectionMultiplexer.Connect(redis), services.GetRequiredService<ByteStreamConnections>()));
                break;
        }

        IHost host = builder.Build();
        host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStarted.Register(() => Console.WriteLine("started"));
        await host.RunAsync();
    }

    private interface ICarrier
    {
        Task JoinAsync(string group);

        ValueTask SendAsync(string group, byte[] message);
    }

    private sealed class Pair(ByteStreamConnections connections, ICarrier carrier) : ByteStreamHandler
    {
        public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            string first = (await reader.ReadTextLineAsync(cancellationToken: stopping))!.TrimEnd();
            if (!first.StartsWith("> ", StringComparison.Ordinal))
            {
                await using ByteStreamMember member = connections.Register(writer);
                await member.JoinAsync(first, stopping);
                await carrier.JoinAsync(first);
                writer.Write("joined\n");
                await writer.DrainAsync(stopping);
                await reader.ReadAsync(-1, stopping);
                return;
            }

            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
            {
                await carrier.SendAsync(first[2..], line);
            }
        }
    }

    private sealed class LinkCarrier(ByteStreamConnections connections) : ICarrier
    {
        public Task JoinAsync(string group) => Task.CompletedTask;

        public ValueTask SendAsync(string group, byte[] message) => connections.Group(group).SendAsync(message);
    }

    private sealed class GrainCarrier(IGrainFactory grains, ByteStreamConnections connections) : ICarrier
    {
        private readonly ConcurrentDictionary<string, IGroupGrain> _groups = new();
        private readonly HostObserver _observer = new(connections);
        private IHostObserver? _reference;

        public Task JoinAsync(string group) => Grain(group).JoinAsync(_reference ??= grains.CreateObjectReference<IHostObserver>(_observer));

        public ValueTask SendAsync(string group, byte[] message) => new(Grain(group).SendAsync(message));

        private IGroupGrain Grain(string group) => _groups.GetOrAdd(group, static (name, grains) => grains.GetGrain<IGroupGrain>(name), grains);
    }

    private sealed class RedisCarrier(ConnectionMultiplexer redis, ByteStreamConnections connections) : ICarrier
    {
        private readonly ISubscriber _subscriber = redis.GetSubscriber();

        public async Task JoinAsync(string group)
        {
            ChannelMessageQueue queue = await _subscriber.SubscribeAsync(RedisChannel.Literal(group));
            queue.OnMessage(message => connections.Group(group).SendAsync((byte[])message.Message!).AsTask());
        }

        public ValueTask SendAsync(string group, byte[] message) => new(_subscriber.PublishAsync(RedisChannel.Literal(group), message));
    }
}

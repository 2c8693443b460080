using ByteStreams;

// One host of a cluster: a line that a client sends goes to every member, itself included. /readyz tells whether it is in the cluster.
WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddByteStreams().AddHandler<Repeat>("repeat").AddEndpoint("repeat", "tcp://127.0.0.1:7087", "repeat").AddOrleansBackplane();
builder.Host.UseOrleans(silo => silo.UseLocalhostClustering(siloPort: 11187, gatewayPort: 0));
builder.Services.AddHealthChecks().AddByteStreams();
WebApplication application = builder.Build();
application.MapHealthChecks("/readyz");
application.Run();

internal sealed class Repeat(ByteStreamConnections connections) : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await using ByteStreamMember member = connections.Register(writer);
        await member.JoinAsync("all", stopping);
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            await connections.Group("all").SendAsync(line, stopping);
        }
    }
}

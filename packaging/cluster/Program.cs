using ByteStreams;

// A cluster host: a line of a client goes to all clients, including the sender. /readyz reports whether the host is ready.
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

using System.Text;
using ByteStreams;
using ByteStreams.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

// A server and a client of a few lines each.
await using (ByteStreamServer server = await ByteStream.StartServerAsync(ShoutAsync, "127.0.0.1", 0))
{
    await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(server.EndPoints[0]);
    connection.Writer.Write("one\n");
    await connection.Writer.DrainAsync();
    Console.WriteLine(await connection.Reader.ReadTextLineAsync());
}

// The same handler in a host, with configured endpoints and middleware.
HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
IConfiguration settings = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
{
    ["Endpoints:shout:Url"] = "tcp://127.0.0.1:0",
    ["Endpoints:shout:Handler"] = "shout",
    ["Endpoints:shout:Timeouts:ReceiveIdle"] = "30s",
}).Build();
builder.Services.AddByteStreams().AddHandler("shout", ShoutAsync).LoadFromConfig(settings);
using (IHost host = builder.Build())
{
    await host.StartAsync();
    await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(host.Services.GetRequiredService<ByteStreamServers>()["shout"].EndPoints[0]);
    await peer.SendAsync("two\n"u8);
    await peer.ExpectAsync("TWO\n"u8);
    await host.StopAsync();
    Console.WriteLine("TWO");
}

static async Task ShoutAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
{
    while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
    {
        writer.Write(Encoding.ASCII.GetString(line).ToUpperInvariant());
        await writer.DrainAsync(stopping);
    }
}

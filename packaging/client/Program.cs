// A service and a client of it by dependency injection, found by service discovery, with JSON in frames. Prints the sum of 1, 2 and 39.
using System.Text.Json.Serialization;
using ByteStreams;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

Framing framing = Framing.LengthPrefixed(4);
await using ByteStreamServer server = await ByteStream.StartServerAsync(
    async (reader, writer, stopping) =>
    {
        await foreach (int[]? numbers in reader.ReadMessagesAsync(framing, Messages.Default.Int32Array, stopping))
        {
            writer.WriteMessage(framing, numbers?.Sum() ?? 0, Messages.Default.Int32);
            await writer.DrainAsync(stopping);
        }
    },
    "127.0.0.1", 0);

HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
{
    ["Services:adder:tcp:0"] = $"tcp://{server.EndPoints[0]}",
    ["ByteStreamClients:adder:AcquireTimeout"] = "10s",
});
builder.Services.AddByteStreamClient<Adder>("adder", "tcp://adder")
    .UseServiceDiscovery()
    .ConfigureConnection(connection => connection.UseTimeouts(timeouts => timeouts.ReceiveIdle = TimeSpan.FromSeconds(10)));
using IHost host = builder.Build();
await host.StartAsync();
Console.WriteLine(await host.Services.GetRequiredService<Adder>().AddAsync([1, 2, 39], framing));
await host.StopAsync();

internal sealed class Adder(ByteStreamPool pool)
{
    public Task<int> AddAsync(int[] numbers, Framing framing) => pool.ExecuteAsync(
        (numbers, framing),
        static async (connection, request, token) =>
        {
            connection.Writer.WriteMessage(request.framing, request.numbers, Messages.Default.Int32Array);
            return await connection.Reader.ReadMessageAsync(request.framing, Messages.Default.Int32, token);
        });
}

[JsonSerializable(typeof(int[]))]
internal sealed partial class Messages : JsonSerializerContext;

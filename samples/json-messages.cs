#:sdk Microsoft.NET.Sdk.Worker
#:project ../src/Middleware/ByteStreams.csproj

// Messages of JSON with their length in front, in a worker service with dependency injection. The basket is a scoped service: each
// connection has its own.
//
//   dotnet run samples/json-messages.cs
//
// Serves 127.0.0.1:7081. A message is four bytes, its length in network byte order, and then UTF-8 text. Try it with:
//   python3 -c 'import socket, struct; s = socket.create_connection(("127.0.0.1", 7081)); m = b"{\"item\": \"apple\", \"count\": 2}";
//   s.sendall(struct.pack(">I", len(m)) + m); print(s.recv(1000)[4:])'                      (one line; prints {"items":1,"count":2})

using System.Text.Json;
using System.Text.Json.Serialization;
using ByteStreams;

HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);
builder.Services.AddScoped<Basket>();
builder.Services.AddByteStreams()
    .AddHandler<BasketHandler>("basket")
    .AddEndpoint("basket", "tcp://127.0.0.1:7081", "basket");
builder.Build().Run();

internal sealed record Order(string Item, int Count);

internal sealed record Reply(int Items, int Count, string? Error = null);

// Generated serializers: they also work in a program that is compiled ahead of time.
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(Order))]
[JsonSerializable(typeof(Reply))]
internal sealed partial class Messages : JsonSerializerContext;

internal sealed class Basket
{
    private readonly Dictionary<string, int> _counts = [];

    public Reply Add(Order order)
    {
        _counts[order.Item] = _counts.GetValueOrDefault(order.Item) + order.Count;
        return new Reply(_counts.Count, _counts.Values.Sum());
    }
}

internal sealed class BasketHandler(Basket basket) : ByteStreamHandler
{
    private static readonly Framing Frames = Framing.LengthPrefixed(sizeof(int), maxLength: 16384);

    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadFrameAsync(Frames, stopping) is { } message)
        {
            Reply reply;
            try
            {
                reply = JsonSerializer.Deserialize(message, Messages.Default.Order) is { } order ? basket.Add(order) : new Reply(0, 0, "The message is null.");
            }
            catch (JsonException exception)
            {
                reply = new Reply(0, 0, exception.Message);
            }

            writer.WriteMessage(Frames, reply, Messages.Default.Reply);
            await writer.DrainAsync(stopping);
        }
    }
}

#:sdk Microsoft.NET.Sdk.Web
#:project ../src/Middleware/ByteStreams.csproj

// An ASP.NET application that serves HTTP and a byte-stream endpoint. Both use the same services.
//
//   dotnet run samples/web-and-stream.cs
//
// Then:  printf 'one\ntwo\n' | nc -N 127.0.0.1 7080     prints "ONE" and "TWO"
//        curl http://127.0.0.1:5080/                    prints "Lines so far: 2"
//
// Prints ASP.NET's startup messages. Stop it with Ctrl+C.

using ByteStreams;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.WebHost.UseUrls("http://127.0.0.1:5080");
builder.Services.AddSingleton<LineCount>();
builder.Services.AddByteStreams()
    .AddHandler<Shout>("shout")
    .AddEndpoint("shout", "tcp://127.0.0.1:7080", "shout");

WebApplication app = builder.Build();
app.MapGet("/", (LineCount count) => $"Lines so far: {count.Value}\n");
app.Run();

// One instance per connection, in its own dependency-injection scope.
internal sealed class Shout(LineCount count) : ByteStreamHandler
{
    public override async Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is string line)
        {
            count.Add();
            writer.Write(line.ToUpperInvariant() + "\n");
            await writer.DrainAsync(stopping);
        }
    }
}

internal sealed class LineCount
{
    private int _value;

    public int Value => _value;

    public void Add() => Interlocked.Increment(ref _value);
}

#:project ../src/Middleware/ByteStreams.csproj

// Echoes every line that a client sends. It is "TCP echo server using streams" of the asyncio documentation.
//
//   dotnet run samples/echo-server.cs
//
// Prints "Serving on 127.0.0.1:8888", and each line with its client's address. Stop it with Ctrl+C.
// Try it with samples/echo-client.cs, or with: nc -N 127.0.0.1 8888

using System.Text;
using ByteStreams;

await using ByteStreamServer server = await ByteStream.StartServerAsync(async (reader, writer) =>
{
    await foreach (byte[] line in reader)
    {
        Console.Write($"Received from {writer.RemoteEndPoint}: {Encoding.UTF8.GetString(line)}");
        writer.Write(line);
        await writer.DrainAsync();
    }
}, "127.0.0.1", 8888);

Console.WriteLine($"Serving on {server.EndPoints[0]}");
await server.ServeForeverAsync();

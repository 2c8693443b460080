#:project ../src/Middleware/ByteStreams.csproj

// Sends one line and prints the answer. It is "TCP echo client using streams" of the asyncio documentation.
//
//   dotnet run samples/echo-client.cs
//
// Start samples/echo-server.cs first. Prints "Send: Hello World!", "Received: Hello World!" and "Close the connection".

using ByteStreams;

await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync("127.0.0.1", 8888);
var (reader, writer) = connection;

Console.WriteLine("Send: Hello World!");
writer.Write("Hello World!\n");
await writer.DrainAsync();

Console.WriteLine($"Received: {await reader.ReadTextLineAsync()}");
Console.WriteLine("Close the connection");

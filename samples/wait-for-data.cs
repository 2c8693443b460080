#:project ../src/Middleware/ByteStreams.csproj

// Waits for data on an open socket. It is "Register an open socket to wait for data using streams" of the asyncio documentation.
//
//   dotnet run samples/wait-for-data.cs
//
// Prints "Received: abc" and "Close the socket".

using System.Net;
using System.Net.Sockets;
using System.Text;
using ByteStreams;

// A pair of connected sockets. The first one could also come from a library, an accept loop or a parent process.
(Socket ours, Socket theirs) = await ConnectedPairAsync();

await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(ours);
ValueTask<byte[]> data = connection.Reader.ReadAsync(100);

// The other side sends while the read waits.
await theirs.SendAsync("abc"u8.ToArray());

Console.WriteLine($"Received: {Encoding.UTF8.GetString(await data)}");
Console.WriteLine("Close the socket");
theirs.Dispose();

static async Task<(Socket, Socket)> ConnectedPairAsync()
{
    using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
    listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
    listener.Listen(1);
    var first = new Socket(SocketType.Stream, ProtocolType.Tcp);
    await first.ConnectAsync(listener.LocalEndPoint!);
    return (first, await listener.AcceptAsync());
}

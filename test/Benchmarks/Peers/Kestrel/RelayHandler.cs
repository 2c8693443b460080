using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace Benchmarks.Kestrel;

/// <summary>Copies both ways between the connection's pipe and a socket's stream, with what both of them bring for it.</summary>
internal sealed class RelayHandler(string upstream) : ConnectionHandler
{
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(upstream));
        await using var stream = new NetworkStream(socket);
        await Task.WhenAll(UpAsync(), stream.CopyToAsync(connection.Transport.Output.AsStream()));

        async Task UpAsync()
        {
            await connection.Transport.Input.CopyToAsync(stream);
            socket.Shutdown(SocketShutdown.Send);
        }
    }
}

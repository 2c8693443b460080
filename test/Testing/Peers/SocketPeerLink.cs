using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Testing;

/// <summary>A peer on a socket, with nothing of this library in between.</summary>
internal sealed class SocketPeerLink(Socket socket) : IPeerLink
{
    public async Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        try
        {
            for (int sent = 0; sent < bytes.Length;)
            {
                sent += await socket.SendAsync(bytes[sent..], cancellationToken).ConfigureAwait(false);
            }
        }
        catch (SocketException lost)
        {
            throw Reset(lost);
        }
    }

    public async Task<int> ReceiveAsync(Memory<byte> room, CancellationToken cancellationToken)
    {
        try
        {
            return await socket.ReceiveAsync(room, cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException lost)
        {
            throw Reset(lost);
        }
    }

    public Task HalfCloseAsync(CancellationToken cancellationToken)
    {
        try
        {
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException lost)
        {
            throw Reset(lost);
        }

        return Task.CompletedTask;
    }

    public void Reset()
    {
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            socket.LingerState = new LingerOption(true, 0);
        }

        socket.Dispose();
    }

    public ValueTask DisposeAsync()
    {
        socket.Dispose();
        return default;
    }

    private static ConnectionResetException Reset(SocketException lost) => new(lost.Message, lost);
}

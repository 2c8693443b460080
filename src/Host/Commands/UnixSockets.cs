using System.Net;
using System.Net.Sockets;

namespace StreamsHost.Commands;

/// <summary>Connections to Unix sockets, and their errors.</summary>
internal static class UnixSockets
{
    /// <summary>The interval between two attempts while the server's backlog is full: connect(2) fails with EAGAIN and reports no event.</summary>
    private static readonly TimeSpan BacklogInterval = TimeSpan.FromMilliseconds(10);

    /// <summary>Connects, and waits while the server's backlog is full.</summary>
    /// <exception cref="SocketException">The connection failed.</exception>
    public static async Task<Socket> ConnectAsync(EndPoint endPoint, CancellationToken cancellationToken)
    {
        while (true)
        {
            // The runtime does not connect a socket again after a failure.
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(endPoint, cancellationToken);
                return socket;
            }
            catch (SocketException full) when (full.SocketErrorCode == SocketError.WouldBlock)
            {
                socket.Dispose();
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            await Task.Delay(BacklogInterval, cancellationToken);
        }
    }

    /// <summary>The message about a failed connection. A path that does not exist has the error number of a network error.</summary>
    public static string Message(SocketException error, EndPoint endPoint) =>
        endPoint is UnixDomainSocketEndPoint && error.SocketErrorCode == SocketError.AddressNotAvailable ? "there is no such socket." : error.Message;
}

using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport.Sockets;

/// <summary>Connects the runtime's sockets, and waits while a Unix server's backlog is full.</summary>
internal static class SocketConnect
{
    /// <summary>
    /// The interval between two attempts while the backlog is full: connect(2) fails at once with EAGAIN on a non-blocking Unix socket and
    /// reports no event when there is space.
    /// </summary>
    private static readonly TimeSpan BacklogInterval = TimeSpan.FromMilliseconds(10);

    /// <summary>Connects to an endpoint.</summary>
    /// <param name="create">Makes a socket for one attempt: the runtime does not connect a socket again after a failure.</param>
    /// <param name="endPoint">The address.</param>
    /// <param name="cancellationToken">Ends the attempt and closes its socket.</param>
    /// <exception cref="SocketException">The connection failed; the socket is closed.</exception>
    public static async Task<Socket> ConnectAsync(Func<CancellationToken, ValueTask<Socket>> create, EndPoint endPoint, CancellationToken cancellationToken)
    {
        while (true)
        {
            Socket socket = await create(cancellationToken).ConfigureAwait(false);
            try
            {
                await socket.ConnectAsync(endPoint, cancellationToken).ConfigureAwait(false);
                return socket;
            }
            catch (SocketException full) when (full.SocketErrorCode == SocketError.WouldBlock && endPoint is UnixDomainSocketEndPoint)
            {
                socket.Dispose();
            }
            catch
            {
                socket.Dispose();
                throw;
            }

            await WaitForBacklogAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Waits for the next attempt. In real time, because the kernel does not follow a test's clock.</summary>
    public static Task WaitForBacklogAsync(CancellationToken cancellationToken) => Task.Delay(BacklogInterval, cancellationToken);
}

using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport.Sockets;

/// <summary>The runtime's sockets, on every platform.</summary>
internal sealed class SocketEngine : TransportEngine
{
    public static SocketEngine Instance { get; } = new();

    public override IAcceptor Accept(Socket listening, ByteStreamTransportOptions options) => new Acceptor(listening, options);

    public override async Task<SocketByteChannel> ConnectAsync(
        EndPoint endPoint, ByteStreamConnectOptions options, ByteChannel? neighbor, CancellationToken cancellationToken)
    {
        Socket? socket = null;
        try
        {
            socket = await SocketConnect.ConnectAsync(
                cancel => options.Descriptors.OpenAsync(
                    () => SocketOptions.Prepare(endPoint, options), static opened => opened.Handle, options.TimeProvider, cancel),
                endPoint,
                cancellationToken).ConfigureAwait(false);
            SocketOptions.Apply(socket, options);
            return new SocketChannel(socket, endPoint);
        }
        catch (SocketException error)
        {
            socket?.Dispose();
            throw SocketErrors.ToConnectException(error, endPoint);
        }
        catch
        {
            socket?.Dispose();
            throw;
        }
    }

    private sealed class Acceptor(Socket listening, ByteStreamTransportOptions options) : IAcceptor
    {
        public async ValueTask<SocketByteChannel?> AcceptAsync(CancellationToken cancellationToken)
        {
            Socket accepted = await listening.AcceptAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                SocketOptions.Apply(accepted, options);
                return new SocketChannel(accepted);
            }
            catch (SocketException)
            {
                // The client has disconnected, as a port scan does: not logged (S9).
                accepted.Dispose();
                return null;
            }
        }

        public void Dispose()
        {
            // The listener owns the listening socket.
        }
    }
}

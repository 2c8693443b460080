using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>The engine for Linux: event loops of its own on epoll.</summary>
internal sealed class EpollEngine(EventLoopGroup group) : TransportEngine
{
    public override IAcceptor Accept(Socket listening, ByteStreamTransportOptions options)
    {
        bool isUnix = listening.AddressFamily == AddressFamily.Unix;
        if (!isUnix)
        {
            // Accepted sockets inherit them: two calls less for each connection.
            SocketOptions.Apply(listening, options);
        }

        return new EpollAcceptor(group, listening, isUnix ? options : null);
    }

    public override async Task<SocketByteChannel> ConnectAsync(
        EndPoint endPoint, ByteStreamClientOptions options, CancellationToken cancellationToken)
    {
        Descriptor descriptor;
        using (Socket socket = SocketOptions.Prepare(endPoint, options))
        {
            // The runtime's handle is a means to set options. It is closed before it is connected, and with it what the runtime's
            // own event loop would know of the socket.
            if (endPoint is IPEndPoint)
            {
                SocketOptions.Apply(socket, options);
            }

            descriptor = new Descriptor(LibC.DuplicateNonBlocking((int)socket.Handle));
        }

        try
        {
            EventLoop loop = group.Next();
            await EpollConnect.ConnectAsync(loop, descriptor, endPoint, cancellationToken).ConfigureAwait(false);
            return new EpollChannel(loop, descriptor, endPoint is UnixDomainSocketEndPoint, PeerAddress.Of(endPoint), suspicion: null);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }
}

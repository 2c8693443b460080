using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Sockets;
using ByteStreams.Transport.Unix;

namespace ByteStreams.Transport.Epoll;

/// <summary>The Linux engine: event loops on epoll.</summary>
internal sealed class EpollEngine(EventLoopGroup group) : TransportEngine
{
    public override IAcceptor Accept(Socket listening, ByteStreamTransportOptions options)
    {
        bool isUnix = listening.AddressFamily == AddressFamily.Unix;
        if (!isUnix)
        {
            // Accepted sockets inherit the options, which saves two calls per connection.
            SocketOptions.Apply(listening, options);
        }

        return new EpollAcceptor(group, listening, isUnix ? options : null);
    }

    public override async Task<SocketByteChannel> ConnectAsync(
        EndPoint endPoint, ByteStreamConnectOptions options, ByteChannel? neighbor, CancellationToken cancellationToken)
    {
        Descriptor descriptor = await options.Descriptors.OpenAsync(
            () => Open(endPoint, options), static opened => opened.DangerousGetHandle(), options.TimeProvider, cancellationToken).ConfigureAwait(false);
        try
        {
            EventLoop loop = (neighbor as EpollChannel)?.Loop ?? group.Next();
            await EpollConnect.ConnectAsync(loop, descriptor, endPoint, cancellationToken).ConfigureAwait(false);
            bool isUnix = endPoint is UnixDomainSocketEndPoint;
            bool takesDescriptors = isUnix && !PassedDescriptors.Refuse((int)descriptor.DangerousGetHandle());
            return new EpollChannel(loop, descriptor, isUnix, PeerAddress.From(endPoint), local: null, takesDescriptors, suspicion: null);
        }
        catch
        {
            descriptor.Dispose();
            throw;
        }
    }

    private static Descriptor Open(EndPoint endPoint, ByteStreamConnectOptions options)
    {
        if (endPoint is UnixDomainSocketEndPoint && options is { ReceiveBufferSize: null, SendBufferSize: null })
        {
            // Without options to set, one call in place of five.
            return new Descriptor(LibC.OpenUnix());
        }

        // The runtime's socket only sets the options. It is disposed before the connect, so that the runtime's event loop never registers
        // the socket.
        using Socket socket = SocketOptions.Prepare(endPoint, options);
        if (endPoint is IPEndPoint)
        {
            SocketOptions.Apply(socket, options);
        }

        return new Descriptor(LibC.DuplicateNonBlocking((int)socket.Handle));
    }
}

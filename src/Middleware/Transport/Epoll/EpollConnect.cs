using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Sockets;

namespace ByteStreams.Transport.Epoll;

/// <summary>One attempt to connect, on an event loop.</summary>
internal sealed class EpollConnect : IEventSink
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private EpollConnect()
    {
    }

    /// <exception cref="SocketException">The connection failed.</exception>
    /// <exception cref="OperationCanceledException">The token fired; the caller closes the descriptor.</exception>
    public static async Task ConnectAsync(EventLoop loop, Descriptor descriptor, EndPoint endPoint, CancellationToken cancellationToken)
    {
        // Only the caller has the descriptor: it is not closed meanwhile.
        int number = (int)descriptor.DangerousGetHandle();
        SocketAddress address = endPoint.Serialize();
        int error;
        while ((error = LibC.Connect(number, address.Buffer.Span[..address.Size])) == Errno.TryAgain && endPoint is UnixDomainSocketEndPoint)
        {
            await SocketConnect.WaitForBacklogAsync(cancellationToken).ConfigureAwait(false);
        }

        if (error is Errno.InProgress or Errno.Interrupted)
        {
            var attempt = new EpollConnect();
            ulong registration = loop.Add(number, EpollEvents.Out, attempt);
            try
            {
                await attempt._done.Task.WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                loop.Unregister(number);
                loop.Remove(registration);
            }

            error = LibC.PendingError(number);
        }

        if (error != 0)
        {
            throw SocketErrors.ToConnectException(Errno.ToException(error), endPoint);
        }
    }

    void IEventSink.OnEvents(EpollEvents events) => _done.TrySetResult();
}

using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Unix;

namespace ByteStreams.Transport.Sockets;

/// <summary>A connected stream socket on the runtime's own <see cref="System.Net.Sockets.Socket"/>: the engine for every platform.</summary>
internal sealed class SocketChannel : SocketByteChannel
{
    /// <summary>
    /// The most bytes of one asynchronous send: the runtime reports it only when all of it is sent, and the low-water mark needs this
    /// precision.
    /// </summary>
    private const int AsyncSend = 16384;

    private readonly Socket _socket;
    private List<ArraySegment<byte>>? _gather;
    private volatile bool _shutdown;

    // The kernel reports a reset once; after a send that failed by it, a receive returns 0.
    private volatile bool _isReset;
    private object? _credentials;

    public SocketChannel(Socket socket, EndPoint? remote = null)
    {
        _socket = socket;
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            LocalEndPoint = Plain(socket.LocalEndPoint);
            RemoteEndPoint = Plain(remote ?? socket.RemoteEndPoint);
        }

        // Synchronous sends return WouldBlock when the buffer is full; asynchronous operations are unaffected.
        socket.Blocking = false;

        // A finalized socket counts as disposed without closing its handle, which the runtime's epoll table refers to: an abandoned
        // connection (W12) could not be closed any more.
#pragma warning disable CA1816 // Not a Dispose of our own: the rule does not know this use.
        GC.SuppressFinalize(socket);
#pragma warning restore CA1816
    }

    public override EndPoint? LocalEndPoint { get; }

    public override EndPoint? RemoteEndPoint { get; }

    public override nint Number => _socket.Handle;

    public override Socket Socket => _socket;

    public override UnixCredentials? PeerCredentials => (UnixCredentials?)(_credentials ??= UnixPeerCredentials.For(_socket));

    public override int Unacknowledged
    {
        get
        {
            // TCP counts its FIN as one more.
            int bytes = SocketState.Unacknowledged(_socket);
            return _shutdown && bytes > 0 && _socket.AddressFamily != AddressFamily.Unix ? bytes - 1 : bytes;
        }
    }

    public override bool DeliversBeforeReset => _socket.AddressFamily == AddressFamily.Unix;

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask WaitToReceiveAsync()
    {
        try
        {
            await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None).ConfigureAwait(false);
        }
        catch (SocketException error)
        {
            throw SocketErrors.ToConnectionException(error);
        }
        catch (ObjectDisposedException error)
        {
            throw SocketErrors.ToConnectionException(Closed(error));
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<int> ReceiveAsync(Memory<byte> destination)
    {
        try
        {
            int received = await _socket.ReceiveAsync(destination, SocketFlags.None).ConfigureAwait(false);
            return received > 0 || !EndIsReset() ? received : throw new SocketException((int)SocketError.ConnectionReset);
        }
        catch (SocketException error)
        {
            throw SocketErrors.ToConnectionException(error);
        }
        catch (ObjectDisposedException error)
        {
            throw SocketErrors.ToConnectionException(Closed(error));
        }
    }

    public override bool HasEndArrived => SocketState.HasFinArrived(_socket);

    public override Exception? FindLoss()
    {
        try
        {
            // Urgent data counts as an error too; the TCP state distinguishes the two.
            if (!_socket.Poll(0, SelectMode.SelectError) || (_socket.AddressFamily != AddressFamily.Unix && !SocketState.IsReset(_socket)))
            {
                return null;
            }

            var error = (SocketError)(int)_socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error)!;
            // The system reports it once: from now on a receive returns 0.
            _isReset |= error == SocketError.ConnectionReset;
            return error == SocketError.Success ? null : SocketErrors.ToConnectionException(new SocketException((int)error));
        }
        catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
        {
            return null;
        }
    }

    public override long Arrived
    {
        get
        {
            try
            {
                return _socket.Available;
            }
            catch (Exception error) when (error is SocketException or ObjectDisposedException)
            {
                return 0;
            }
        }
    }

    public override bool HasPeerEnded => SocketState.HasPeerEnded(_socket);

    public override bool HasArrived
    {
        get
        {
            try
            {
                return _socket.Poll(0, SelectMode.SelectRead);
            }
            catch (ObjectDisposedException)
            {
                return false;
            }
        }
    }

    public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        (received, loss) = (0, null);
        SocketError error;
        try
        {
            received = _socket.Receive(destination, SocketFlags.None, out error);
            if (error == SocketError.Success && received == 0 && EndIsReset())
            {
                error = SocketError.ConnectionReset;
            }
        }
        catch (ObjectDisposedException closed)
        {
            loss = SocketErrors.ToConnectionException(Closed(closed));
            return true;
        }

        if (error == SocketError.WouldBlock)
        {
            return false;
        }

        loss = error == SocketError.Success ? null : SocketErrors.ToConnectionException(new SocketException((int)error));
        return true;
    }

    public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        int sent;
        SocketError error;
        try
        {
            if (source.IsSingleSegment)
            {
                sent = _socket.Send(source.FirstSpan, SocketFlags.None, out error);
            }
            else
            {
                sent = _socket.Send(Gather(source), SocketFlags.None, out error);
            }

            _isReset |= error == SocketError.ConnectionReset;
        }
        catch (ObjectDisposedException closed)
        {
            return ValueTask.FromException<int>(SocketErrors.ToConnectionException(Closed(closed)));
        }

        return error switch
        {
            SocketError.Success when sent > 0 => new ValueTask<int>(sent),
            SocketError.Success or SocketError.WouldBlock or SocketError.IOPending or SocketError.NoBufferSpaceAvailable =>
                SendLaterAsync(source.First[..Math.Min(source.First.Length, AsyncSend)]),
            _ => ValueTask.FromException<int>(SocketErrors.ToConnectionException(new SocketException((int)error))),
        };
    }

    public override int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more)
    {
        int taken = 0;
        SocketError error;
        try
        {
            if (!queued.IsEmpty)
            {
                taken = queued.IsSingleSegment
                    ? _socket.Send(queued.FirstSpan, SocketFlags.None, out error)
                    : _socket.Send(Gather(queued), SocketFlags.None, out error);
                _isReset |= error == SocketError.ConnectionReset;
                if (taken < queued.Length)
                {
                    return Math.Max(0, taken);
                }
            }

            int sent = _socket.Send(more, SocketFlags.None, out error);
            _isReset |= error == SocketError.ConnectionReset;
            return taken + Math.Max(0, sent);
        }
        catch (ObjectDisposedException)
        {
            return taken;
        }
    }

    public override ValueTask ShutdownSendAsync()
    {
        _shutdown = true;
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
            return default;
        }
        catch (SocketException error)
        {
            return ValueTask.FromException(SocketErrors.ToConnectionException(error));
        }
        catch (ObjectDisposedException error)
        {
            return ValueTask.FromException(SocketErrors.ToConnectionException(Closed(error)));
        }
    }

    public override void Reset()
    {
        try
        {
            // Lingering for zero seconds makes the close a reset (RFC 9293, ABORT). A Unix socket has no reset of its own: its
            // peer sees ECONNRESET if bytes were left unread here, else the end.
            _socket.LingerState = new LingerOption(enable: true, seconds: 0);
        }
        catch (SocketException)
        {
            // The peer has closed the connection already.
        }
        catch (ObjectDisposedException)
        {
            return;
        }

        Close();
    }

    public override void Close()
    {
        // The handler may ask for them after the close.
        _ = PeerCredentials;
        _socket.Dispose();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> SendLaterAsync(ReadOnlyMemory<byte> source)
    {
        try
        {
            return await _socket.SendAsync(source, SocketFlags.None).ConfigureAwait(false);
        }
        catch (SocketException error)
        {
            _isReset |= error.SocketErrorCode == SocketError.ConnectionReset;
            throw SocketErrors.ToConnectionException(error);
        }
        catch (ObjectDisposedException error)
        {
            throw SocketErrors.ToConnectionException(Closed(error));
        }
    }

    /// <summary>Whether a receive of 0 bytes is a reset that a send has failed by.</summary>
    private bool EndIsReset() =>
        // Read again after the check: a shutdown meanwhile may have closed a connection that the peer had closed, as a reset does.
        _isReset || (!_shutdown && SocketState.IsReset(_socket) && !_shutdown);

    private List<ArraySegment<byte>> Gather(in ReadOnlySequence<byte> source)
    {
        // sendmsg takes at most IOV_MAX = 1024 pieces; far fewer fill a socket's buffer.
        const int mostPieces = 64;
        List<ArraySegment<byte>> pieces = _gather ??= [];
        pieces.Clear();
        foreach (ReadOnlyMemory<byte> segment in source)
        {
            if (segment.Length > 0 && MemoryMarshal.TryGetArray(segment, out ArraySegment<byte> piece))
            {
                pieces.Add(piece);
            }

            if (pieces.Count == mostPieces)
            {
                break;
            }
        }

        return pieces;
    }

    private static SocketException Closed(ObjectDisposedException _) => new((int)SocketError.OperationAborted);
}

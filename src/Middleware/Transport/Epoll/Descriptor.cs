using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Unix;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// An open socket descriptor, and the system calls on it. It is closed when no call uses it any more, and not before: a call that has begun
/// on one thread cannot reach the descriptor's next owner because another thread has closed it meanwhile.
/// </summary>
internal sealed class Descriptor : SafeHandle
{
    public Descriptor(int number)
        : base(-1, ownsHandle: true) => SetHandle(number);

    public override bool IsInvalid => handle < 0;

    /// <summary>Bytes that were sent and that the peer's side has not acknowledged; zero after the close.</summary>
    public int Unacknowledged
    {
        get
        {
            using Use use = new(this);
            return LibC.Unacknowledged(use.Number);
        }
    }

    /// <summary>Bytes that have arrived and were not received; zero after the close.</summary>
    public int Arrived
    {
        get
        {
            using Use use = new(this);
            return LibC.Arrived(use.Number);
        }
    }

    /// <summary>Whether a TCP connection is gone altogether: a reset that a send has met reads as an end.</summary>
    public bool IsReset
    {
        get
        {
            Span<byte> state = stackalloc byte[1];
            return TryGetOption(SocketConstants.IpProtoTcp, SocketConstants.TcpInfo, state) && state[0] == SocketConstants.TcpClose;
        }
    }

    /// <summary>The process at the other end of a Unix socket; null after the close.</summary>
    public UnixCredentials? PeerCredentials
    {
        get
        {
            Span<byte> ucred = stackalloc byte[SocketConstants.CredentialsSize];
            return TryGetOption(SocketConstants.SolSocket, SocketConstants.SoPeerCred, ucred) ? UnixPeerCredentials.From(ucred) : null;
        }
    }

    /// <summary>The address of this side of an IP connection; null after the close.</summary>
    public EndPoint? LocalEndPoint
    {
        get
        {
            Span<byte> address = stackalloc byte[SocketConstants.AddressSize];
            using Use use = new(this);
            return LibC.LocalAddress(use.Number, address) == 0 ? PeerAddress.ToEndPoint(address) : null;
        }
    }

    /// <summary>Receives without a wait.</summary>
    /// <returns>The count, or minus an errno.</returns>
    public int Receive(Span<byte> destination)
    {
        using Use use = new(this);
        return LibC.Receive(use.Number, destination);
    }

    /// <summary>Receives without a wait on a Unix socket.</summary>
    /// <param name="destination">Where to.</param>
    /// <param name="stopped">Whether more may be there although the receive was short: the peer has passed descriptors along.</param>
    /// <returns>The count, or minus an errno.</returns>
    public int Receive(Span<byte> destination, out bool stopped)
    {
        using Use use = new(this);
        return LibC.Receive(use.Number, destination, out stopped);
    }

    /// <summary>Sends without a wait: queued bytes, and more after them.</summary>
    /// <returns>The count, or minus an errno.</returns>
    public int Send(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more)
    {
        using Use use = new(this);
        return queued.IsEmpty ? LibC.Send(use.Number, more)
            : queued.IsSingleSegment && more.IsEmpty ? LibC.Send(use.Number, queued.FirstSpan)
            : GatheredSend.Send(use.Number, queued, more);
    }

    /// <summary>Shuts down the sending direction.</summary>
    /// <returns>Zero, or an errno.</returns>
    public int ShutdownSend()
    {
        using Use use = new(this);
        return LibC.ShutdownSend(use.Number);
    }

    /// <summary>Makes the close a reset.</summary>
    public void LingerZero()
    {
        using Use use = new(this);
        LibC.LingerZero(use.Number);
    }

    /// <summary>Takes the pending error of the socket, which the system reports once.</summary>
    /// <returns>Zero for none, and after the close; else an errno.</returns>
    public int TakePendingError()
    {
        using Use use = new(this);
        return use.IsOpen ? LibC.PendingError(use.Number) : 0;
    }

    /// <summary>Makes a socket over a descriptor of its own: what its user does with it cannot close this one.</summary>
    public Socket Duplicate()
    {
        using Use use = new(this);
        return new Socket(new SafeSocketHandle(LibC.Duplicate(use.Number), ownsHandle: true));
    }

    protected override bool ReleaseHandle() => LibC.Close((int)handle) == 0;

    private bool TryGetOption(int level, int name, Span<byte> value)
    {
        using Use use = new(this);
        return LibC.GetOption(use.Number, level, name, value) == 0;
    }

    /// <summary>Keeps the descriptor open for one call. After the close the number is -1, which every call answers with EBADF.</summary>
    private readonly ref struct Use
    {
        private readonly Descriptor _descriptor;

        public Use(Descriptor descriptor)
        {
            _descriptor = descriptor;
            bool held = false;
            try
            {
                descriptor.DangerousAddRef(ref held);
            }
            catch (ObjectDisposedException)
            {
                // Closed: see IsOpen.
            }

            IsOpen = held;
        }

        public bool IsOpen { get; }

        public int Number => IsOpen ? (int)_descriptor.handle : -1;

        public void Dispose()
        {
            if (IsOpen)
            {
                _descriptor.DangerousRelease();
            }
        }
    }
}

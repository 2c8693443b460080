using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Sockets;
using ByteStreams.Transport.Unix;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// Accepts on any free loop: the listening socket is registered with all of them, and the kernel wakes one (EPOLLEXCLUSIVE). The loop with the
/// fewest connections serves the new one.
/// </summary>
internal sealed class EpollAcceptor : IAcceptor, IEventSink, IValueTaskSource
{
    /// <summary>The clients that are accepted in a row before the loop serves its other connections.</summary>
    private const int MostInARow = 64;

    private readonly EventLoopGroup _group;
    private readonly Socket _listening;
    private readonly ByteStreamTransportOptions? _options;
    private readonly bool _isUnix;
    private readonly EndPoint? _local;
    private readonly bool _takesDescriptors;
    private readonly ulong[] _registrations;
    private readonly BlockingSuspicion _suspicion = new();
    private ManualResetValueTaskSourceCore<bool> _ready;
    private AtomicFlags<State> _state;
    private int _inARow;

    /// <param name="group">The loops.</param>
    /// <param name="listening">The listening socket, which the caller owns.</param>
    /// <param name="options">The options to set on each accepted socket; null if it inherits all of them.</param>
    public EpollAcceptor(EventLoopGroup group, Socket listening, ByteStreamTransportOptions? options)
    {
        _group = group;
        _listening = listening;
        _options = options;
        _isUnix = listening.AddressFamily == AddressFamily.Unix;
        _local = LocalEndPointOfAll(listening);
        _takesDescriptors = _isUnix && !PassedDescriptors.AreRefused((int)listening.Handle);
        listening.Blocking = false;
        _registrations = new ulong[group.Loops.Count];
        for (int i = 0; i < _registrations.Length; i++)
        {
            _registrations[i] = group.Loops[i].Add((int)listening.Handle, EpollEvents.In | EpollEvents.Exclusive, this);
        }
    }

    public int BlockingThreads => _suspicion.IsRaised && BlockingHandlers.Shared.IsFull ? BlockingHandlers.Shared.Count : 0;

    public ValueTask<SocketByteChannel?> AcceptAsync(CancellationToken cancellationToken)
    {
        if (_inARow < MostInARow && TryAccept(out SocketByteChannel? accepted))
        {
            _inARow++;
            return new ValueTask<SocketByteChannel?>(accepted);
        }

        return AcceptLaterAsync(cancellationToken);
    }

    public void Dispose()
    {
        if ((_state.Set(State.Disposed) & State.Disposed) != 0)
        {
            return;
        }

        for (int i = 0; i < _registrations.Length; i++)
        {
            _group.Loops[i].Remove(_registrations[i]);
            _group.Loops[i].Unregister((int)_listening.Handle);
        }

        if ((_state.Clear(State.Waits) & State.Waits) != 0)
        {
            _ready.RunContinuationsAsynchronously = true;
            _ready.SetResult(false);
        }
    }

    void IEventSink.OnEvents(EpollEvents events)
    {
        State before = _state.Change(State.Ready, clear: State.Waits);
        if ((before & State.Waits) != 0)
        {
            _inARow = 0;
            _ready.SetResult(true);
        }
    }

    void IValueTaskSource.GetResult(short token) => _ready.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _ready.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _ready.OnCompleted(continuation, state, token, flags);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<SocketByteChannel?> AcceptLaterAsync(CancellationToken cancellationToken)
    {
        if (_inARow >= MostInARow)
        {
            _inARow = 0;
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        }

        using CancellationTokenRegistration registration = cancellationToken.UnsafeRegister(static self => ((EpollAcceptor)self!).Dispose(), this);
        while (true)
        {
            if (TryAccept(out SocketByteChannel? accepted))
            {
                return accepted;
            }

            await WaitAsync().ConfigureAwait(false);
        }
    }

    private ValueTask WaitAsync()
    {
        _ready.Reset();
        short version = _ready.Version;
        return _state.TryChange(State.Waits, clear: State.None, unless: State.Ready | State.Disposed) ? new ValueTask(this, version) : default;
    }

    private bool TryAccept(out SocketByteChannel? accepted)
    {
        PeerAddress peer = default;
        bool held = false;
        SafeSocketHandle listening = _listening.SafeHandle;
        int result;
        try
        {
            listening.DangerousAddRef(ref held);
            ObjectDisposedException.ThrowIf((_state.Clear(State.Ready) & State.Disposed) != 0, this);
            Span<byte> address = peer;
            result = LibC.Accept((int)listening.DangerousGetHandle(), _isUnix ? [] : address);
        }
        finally
        {
            if (held)
            {
                listening.DangerousRelease();
            }
        }

        accepted = null;
        if (result == -Errno.TryAgain)
        {
            return false;
        }

        if (result < 0)
        {
            // More clients may be waiting in the backlog.
            _state.Set(State.Ready);
            throw Errno.IsOfPendingConnection(-result) ? new SocketException((int)SocketError.ConnectionAborted) : Errno.ToException(-result);
        }

        accepted = new EpollChannel(_group.Next(), new Descriptor(result), _isUnix, peer, _local, _takesDescriptors, _suspicion);
        if (_options is not null && (_options.SendBufferSize ?? _options.ReceiveBufferSize) is not null)
        {
            SocketOptions.SetBuffers(accepted.Socket!, _options);
        }

        return true;
    }

    /// <summary>
    /// The own address of all connections of a listener that is bound to one address, which saves each of them a system call; null if they differ.
    /// A transparent socket (ip(7), IP_TRANSPARENT) accepts for other addresses too.
    /// </summary>
    internal static IPEndPoint? LocalEndPointOfAll(Socket listening)
    {
        if (listening.LocalEndPoint is not IPEndPoint { Address: IPAddress address } bound || address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any)
            || address.IsIPv4MappedToIPv6)
        {
            return null;
        }

        (int level, int name) = listening.AddressFamily == AddressFamily.InterNetwork
            ? (SocketConstants.IpProtoIp, SocketConstants.IpTransparent)
            : (SocketConstants.IpProtoIpv6, SocketConstants.Ipv6Transparent);
        Span<byte> value = stackalloc byte[sizeof(int)];
        return LibC.GetOption((int)listening.Handle, level, name, value) == 0 && BitConverter.ToInt32(value) == 0 ? bound : null;
    }

    [Flags]
    private enum State
    {
        None = 0,

        /// <summary>An accept is likely to find a client.</summary>
        Ready = 1 << 0,

        /// <summary>An accept waits for <see cref="Ready"/>.</summary>
        Waits = 1 << 1,

        Disposed = 1 << 2,
    }
}

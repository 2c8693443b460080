using System.Buffers;
using System.Collections;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace ByteStreams.Transport;

/// <summary>
/// One connection over any <see cref="ByteChannel"/>, as Kestrel and middleware see it: its pipe, its identity and its features. Half of the
/// features are the connection itself and need no entry in the collection, which it is as well.
/// </summary>
internal sealed class ChannelConnection : ConnectionContext, IDuplexPipe, IByteStreamTransportFeature, IConnectionProgress,
    IConnectionIdFeature, IConnectionItemsFeature, IConnectionTransportFeature, IConnectionEndPointFeature,
    IConnectionLifetimeFeature, IConnectionSocketFeature, IUnixPeerFeature, IMemoryPoolFeature, IKestrelConventions, IOrderlyReset,
    IFeatureCollection
{
    private static readonly Type[] OwnFeatures =
    [
        typeof(IConnectionTransportFeature), typeof(IByteStreamTransportFeature), typeof(IConnectionProgress), typeof(IConnectionLifetimeFeature),
        typeof(IConnectionEndPointFeature), typeof(IConnectionIdFeature), typeof(IConnectionItemsFeature), typeof(IMemoryPoolFeature),
    ];

    private static readonly Type[] SocketFeatures = [typeof(IConnectionSocketFeature), typeof(IUnixPeerFeature)];

    private static long _lastId = DateTime.UtcNow.Ticks;

    private readonly ChannelLifetime _lifetime;
    private FeatureSlots _features;
    private IDictionary<object, object?>? _items;
    private EndPoint? _local;
    private EndPoint? _remote;
    private string? _id;

    public ChannelConnection(
        ByteChannel channel, EndPoint? local, EndPoint? remote, ByteStreamTransportOptions options)
    {
        _lifetime = new ChannelLifetime(channel, options);
        _local = local;
        _remote = remote;
        Transport = this;
    }

    /// <summary>The options of the server or client that it belongs to.</summary>
    public ByteStreamTransportOptions Options => _lifetime.Options;

    public override string ConnectionId
    {
        get
        {
            if (_id is null)
            {
                // Connections are listed from other threads, which may ask first: all get the same.
                string id = Interlocked.Increment(ref _lastId).ToString("X", System.Globalization.CultureInfo.InvariantCulture);
                Interlocked.CompareExchange(ref _id, id, null);
            }

            return _id;
        }
        set => _id = value;
    }

    /// <summary>Whether the id was ever asked for: only then the connection has one.</summary>
    public bool HasConnectionId => _id is not null;

    public override IDictionary<object, object?> Items
    {
        get => _items ??= new ConnectionItems();
        set => _items = value;
    }

    public override IDuplexPipe Transport { get; set; }

    public override IFeatureCollection Features => this;

    public override EndPoint? LocalEndPoint
    {
        get => _local ??= SocketChannel?.LocalEndPoint;
        set => _local = value;
    }

    public override EndPoint? RemoteEndPoint
    {
        get => _remote ??= SocketPeer;
        set => _remote = value;
    }

    /// <summary>Whether the peer's address is known without asking the socket, or was set to another one.</summary>
    public bool HasRemoteEndPoint => _remote is not null;

    /// <summary>The peer's address as the socket has it, whatever <see cref="RemoteEndPoint"/> was set to.</summary>
    public EndPoint? SocketPeer => SocketChannel?.RemoteEndPoint;

    /// <summary>
    /// This side's address as the socket has it, whatever <see cref="LocalEndPoint"/> was set to; null where there is none, or a PROXY header
    /// has replaced that of a Unix socket.
    /// </summary>
    public EndPoint? SocketLocal => SocketChannel?.LocalEndPoint ?? _local as UnixDomainSocketEndPoint;

    /// <summary>
    /// Fires when the connection is closed; not at the peer's FIN, after which replies can still be sent, except as <see cref="FollowsKestrel"/>.
    /// </summary>
    /// <remarks>Middleware may set a token of its own, as on Kestrel's transport; this one goes on firing.</remarks>
    public override CancellationToken ConnectionClosed
    {
        get => _lifetime.ClosedToken;
        set => _lifetime.ClosedToken = value;
    }

    /// <summary>
    /// Whether it is as Kestrel's HTTP expects: <see cref="ConnectionClosed"/> fires at the peer's FIN as well, which is noticed from the
    /// token's first use on although nothing is read, and small flushes are sent together. A pair of reader and writer ends it.
    /// </summary>
    public bool FollowsKestrel
    {
        get => _lifetime.FollowsKestrel;
        set => _lifetime.FollowsKestrel = value;
    }

    MemoryPool<byte> IMemoryPoolFeature.MemoryPool => Options.MemoryPool;

    /// <summary>Null after the close where the engine has none; the interface cannot declare that.</summary>
    public Socket Socket => SocketChannel!.Socket!;

    public UnixCredentials? PeerCredentials => SocketChannel!.PeerCredentials;

    PipeReader IDuplexPipe.Input => _lifetime.Input;

    PipeWriter IDuplexPipe.Output => _lifetime.Output;

    public bool CanWriteEof => _lifetime.Channel.CanShutdownSend;

    public long BytesReceived => _lifetime.Input.Driver.BytesReceived;

    public long BytesSent => _lifetime.Output.BytesSent;

    public ConnectionCloseReason CloseReason => _lifetime.Reason;

    public (int HighWater, int LowWater) WriteBufferLimits
    {
        get => _lifetime.Output.Limits;
        set => _lifetime.Output.SetLimits(value.HighWater, value.LowWater);
    }

    public long WriteBufferSize => _lifetime.BufferedOutput;

    bool IConnectionProgress.IsWaitingForInput => _lifetime.Input.IsWaiting;

    bool IConnectionProgress.IsSendWaiting => _lifetime.Output.IsSending;

    long IConnectionProgress.InputReceived => BytesReceived;

    long IConnectionProgress.BufferedInput => _lifetime.Input.Driver.Buffered;

    bool IConnectionProgress.IsInputEnded => _lifetime.IsInputEnded;

    bool IConnectionProgress.IsOutputEnded => _lifetime.Output.IsCompleted;

    bool IConnectionProgress.IsClosed => _lifetime.IsClosed;

    long IConnectionProgress.FirstByteAt => _lifetime.FirstByteAt;

    IProgressObserver? IConnectionProgress.Observer => _lifetime.Input.Driver.Observer ?? _lifetime.Output.Observer;

    bool IConnectionProgress.HasEndArrived => _lifetime.IsInputEnded || _lifetime.Channel.HasEndArrived;

    bool IConnectionProgress.ReportsLoss => _lifetime.ReportsLoss;

    Task IConnectionProgress.OutputFinished => _lifetime.Output.IsFinished ? Task.CompletedTask : _lifetime.Output.Finished;

    /// <summary>The transport under the pipe.</summary>
    public ByteChannel Channel => _lifetime.Channel;

    /// <summary>Bytes that the channel has accepted and that the peer's side has not acknowledged.</summary>
    public int Unacknowledged => _lifetime.Channel.Unacknowledged;

    bool IFeatureCollection.IsReadOnly => false;

    int IFeatureCollection.Revision => _features.Revision;

    private SocketByteChannel? SocketChannel => _lifetime.Channel as SocketByteChannel;

    object? IFeatureCollection.this[Type key]
    {
        get
        {
            ArgumentNullException.ThrowIfNull(key);
            return _features.TryGet(key, out object? value) ? value : IsOwn(key) ? this : null;
        }

        set
        {
            ArgumentNullException.ThrowIfNull(key);
            _features.Set(key, value, hides: IsOwn(key));
        }
    }

    TFeature? IFeatureCollection.Get<TFeature>()
        where TFeature : default => ((IFeatureCollection)this)[typeof(TFeature)] is TFeature feature ? feature : default;

    void IFeatureCollection.Set<TFeature>(TFeature? instance)
        where TFeature : default => ((IFeatureCollection)this)[typeof(TFeature)] = instance;

    IEnumerator<KeyValuePair<Type, object>> IEnumerable<KeyValuePair<Type, object>>.GetEnumerator()
    {
        foreach (KeyValuePair<Type, object> feature in _features.GetAll())
        {
            yield return feature;
        }

        foreach (Type own in OwnFeatures.Concat(SocketFeatures))
        {
            if (IsOwn(own) && !_features.TryGet(own, out _))
            {
                yield return new(own, this);
            }
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<KeyValuePair<Type, object>>)this).GetEnumerator();

    /// <summary>Completes where the connection's handler should run; to be awaited before its first line.</summary>
    public ValueTask StartAsync() => _lifetime.Channel.StartAsync();

    /// <summary>The owner of this token calls <see cref="CancelRead"/> after it has fired, so that reads need not register with it.</summary>
    public void WillCancelReads(CancellationToken token) => _lifetime.Input.WillCancel(token);

    /// <summary>Cancels the read that waits with this token, if one does. The token has fired already.</summary>
    public void CancelRead(CancellationToken token) => _lifetime.Input.CancelWait(token);

    void IConnectionProgress.Observe(IProgressObserver observer, bool input, bool output)
    {
        _lifetime.Input.Driver.Observer = input ? observer : null;
        _lifetime.Output.Observer = output ? observer : null;
    }

    void IConnectionProgress.ObserveEnd(IEndObserver? observer) => _lifetime.ObserveEnd(observer);

    void IConnectionProgress.LookForLoss() => _lifetime.LookForLoss();

    public override void Abort() => Abort(ConnectionCloseReason.Aborted, null);

    /// <summary>Aborts with a reset; without a reason, as Kestrel does where the client has left, with a FIN.</summary>
    public override void Abort(ConnectionAbortedException abortReason) =>
        _lifetime.Abort(ConnectionCloseReason.Aborted, abortReason, drops: false, resets: abortReason is not null || !FollowsKestrel);

    public void Abort(ConnectionCloseReason reason, Exception? cause = null) => Abort(reason, cause, drops: false);

    /// <param name="reason">As <see cref="CloseReason"/>.</param>
    /// <param name="cause">What reads and flushes fail with, inside a <see cref="ConnectionAbortedException"/>; may be null.</param>
    /// <param name="drops">Whether a layer above drops written bytes as well.</param>
    public void Abort(ConnectionCloseReason reason, Exception? cause, bool drops) => _lifetime.Abort(reason, cause, drops);

    public Task AbortWhenSentAsync(ConnectionCloseReason reason, Exception? cause, bool waitsForSlowPeer) =>
        _lifetime.AbortWhenSentAsync(reason, cause, waitsForSlowPeer);

    public void Close(ConnectionCloseReason reason = ConnectionCloseReason.None) => _lifetime.Close(reason);

    public Task WaitClosedAsync() => _lifetime.WaitClosedAsync();

    /// <summary>Closes, and waits until the channel has accepted what was written. The linger goes on by itself: <see cref="WaitClosedAsync"/> waits for it.</summary>
    public override async ValueTask DisposeAsync()
    {
        Close(ConnectionCloseReason.None);
        _lifetime.Output.Complete();
        if (!_lifetime.Output.IsFinished)
        {
            await _lifetime.Output.Finished.ConfigureAwait(false);
        }

        _lifetime.Input.Complete();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    private bool IsOwn(Type key) => OwnFeatures.Contains(key) || (SocketChannel is not null && SocketFeatures.Contains(key));
}

using System.Buffers;

namespace ByteStreams.Transport;

/// <summary>
/// Where bytes meet the kernel, or whatever stands in for it: the one seam below the connection's pipe. Sockets, memory and TLS
/// are each one of these; <see cref="TransportPipeReader"/> and <see cref="TransportPipeWriter"/> do the rest for all of them.
/// </summary>
/// <remarks>
/// At most one receive and one send are in flight at a time. Every operation tries at once and answers synchronously where it can.
/// A lost connection is a <see cref="Microsoft.AspNetCore.Connections.ConnectionResetException"/>.
/// </remarks>
internal abstract class ByteChannel
{
    /// <summary>
    /// Called once, before anything else, where the connection's handler is about to start: completes where that should run.
    /// </summary>
    public virtual ValueTask StartAsync() => default;

    /// <summary>
    /// Whether it receives by <see cref="WaitToReceive"/> and <see cref="TryReceive"/>, which spares the steady path a task, and not by
    /// <see cref="WaitToReceiveAsync"/> and <see cref="ReceiveAsync"/>.
    /// </summary>
    public virtual bool CallsReceiver => false;

    /// <summary>
    /// Completes when a receive is likely to find bytes, the end or an error, so that no buffer is held by a connection that
    /// has nothing to put in it.
    /// </summary>
    public virtual ValueTask WaitToReceiveAsync() => throw new NotSupportedException("This channel waits by WaitToReceive.");

    /// <summary>
    /// As <see cref="WaitToReceiveAsync"/>: answers true where a receive can be tried now; else it calls the receiver once, when it can.
    /// </summary>
    public virtual bool WaitToReceive(IReceiver receiver) => throw new NotSupportedException("This channel waits by WaitToReceiveAsync.");

    /// <summary>As <see cref="WaitToReceive"/>, but calls the receiver from the channel's own thread where bytes are there already.</summary>
    public virtual bool WaitToReceiveLater(IReceiver receiver) => WaitToReceive(receiver);

    /// <summary>Whether the peer has ended or is gone, as far as that is known without receiving.</summary>
    public virtual bool HasPeerEnded => false;

    /// <summary>Bytes that have arrived and were not received at this moment; 0 where the channel does not report it.</summary>
    public virtual long Arrived => 0;

    /// <summary>Whether a receive would find bytes, the end or a failure at this moment.</summary>
    public virtual bool HasArrived => false;

    /// <summary>
    /// Has <see cref="IReceiver.OnLost"/> called where the connection is lost while no receive waits. Returns whether the channel can do so;
    /// else <see cref="FindLoss"/> has to be asked.
    /// </summary>
    public virtual bool ReportLoss(IReceiver receiver) => false;

    /// <summary>Why the connection is lost, where it is and no receive or send has failed by it; null also where the channel cannot tell.</summary>
    public virtual Exception? FindLoss() => null;

    /// <summary>Whether the peer's end has arrived, received or not; false where the channel cannot tell.</summary>
    public virtual bool HasEndArrived => false;

    /// <summary>
    /// Receives 1 to all of <paramref name="destination"/> bytes, 0 at the end, without a wait: after <see cref="WaitToReceive"/>, so that a
    /// connection holds no buffer while it waits, and for what has arrived when a send fails.
    /// </summary>
    /// <param name="destination">The destination.</param>
    /// <param name="received">The number of bytes.</param>
    /// <param name="loss">The failure of the connection, if it has failed. It is not thrown, because resets are common.</param>
    /// <returns>Whether bytes or EOF were received. False also if the channel cannot receive without a wait.</returns>
    public virtual bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        (received, loss) = (0, null);
        return false;
    }

    /// <summary>Receives 1 to all of <paramref name="destination"/> bytes; 0 at the end.</summary>
    public virtual ValueTask<int> ReceiveAsync(Memory<byte> destination) =>
        throw new NotSupportedException("This channel receives by TryReceive.");

    /// <summary>Accepts 1 to all bytes of <paramref name="source"/>, which is not empty and must not change until then.</summary>
    public abstract ValueTask<int> SendAsync(ReadOnlySequence<byte> source);

    /// <summary>
    /// Accepts without a wait as many bytes as possible of <paramref name="queued"/>, which may be empty, and of <paramref name="more"/> after
    /// it, without a copy.
    /// </summary>
    /// <returns>The number of accepted bytes; 0 also if the connection has failed, which the next send reports.</returns>
    public virtual int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more) => 0;

    /// <summary>Whether <see cref="ShutdownSendAsync"/> leaves the peer able to send. False for a WebSocket, which has no half-close.</summary>
    public virtual bool CanShutdownSend => true;

    /// <summary>Shuts down the send direction; receives continue.</summary>
    public abstract ValueTask ShutdownSendAsync();

    /// <summary>
    /// Whether <see cref="Close"/> delivers the accepted bytes and then the end, if everything that the peer has sent was received:
    /// <see cref="ShutdownSendAsync"/> is not needed before it.
    /// </summary>
    public virtual bool CloseSendsEnd => false;

    /// <summary>The number of accepted bytes that the peer's side has not acknowledged; 0 if unknown.</summary>
    public virtual int Unacknowledged => 0;

    /// <summary>Whether accepted bytes reach the peer although a reset follows them.</summary>
    public virtual bool DeliversBeforeReset => false;

    /// <summary>Closes both directions at once with a reset, if the transport has one. Waiting operations fail.</summary>
    public abstract void Reset();

    /// <summary>Closes the channel. Waiting operations fail.</summary>
    public abstract void Close();
}

/// <summary>Receives the notifications of a <see cref="ByteChannel"/>.</summary>
internal interface IReceiver
{
    /// <summary>A receive can be tried. Called outside of any lock of the channel.</summary>
    void OnReady();

    /// <summary>The connection is lost, and no receive waits. Called outside of any lock of the channel, perhaps more than once.</summary>
    void OnLost();
}

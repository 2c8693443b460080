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
    /// <param name="destination">Where to.</param>
    /// <param name="received">The number of bytes.</param>
    /// <param name="loss">Why the connection is lost, where it is: not thrown, since resets are common where clients come and go.</param>
    /// <returns>Whether there was anything. False as well where the channel cannot receive without a wait.</returns>
    public virtual bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        (received, loss) = (0, null);
        return false;
    }

    /// <summary>Receives 1 to all of <paramref name="destination"/> bytes; 0 at the end.</summary>
    public virtual ValueTask<int> ReceiveAsync(Memory<byte> destination) =>
        throw new NotSupportedException("This channel receives by TryReceive.");

    /// <summary>Takes 1 to all bytes of <paramref name="source"/>, which is not empty and stays untouched until then.</summary>
    public abstract ValueTask<int> SendAsync(ReadOnlySequence<byte> source);

    /// <summary>
    /// Takes what it can at once of <paramref name="queued"/>, which may be empty, and of <paramref name="more"/> behind it, from
    /// where they lie.
    /// </summary>
    /// <returns>The bytes taken; 0 also where it cannot, or where the connection is lost, which the next send tells.</returns>
    public virtual int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more) => 0;

    /// <summary>Tells the peer that no more bytes follow; receiving goes on.</summary>
    public abstract ValueTask ShutdownSendAsync();

    /// <summary>Bytes that were taken and that the peer's side has not acknowledged; 0 where nobody can tell.</summary>
    public virtual int Unacknowledged => 0;

    /// <summary>Whether the bytes that were taken reach the peer although the connection is reset after them.</summary>
    public virtual bool DeliversBeforeReset => false;

    /// <summary>Ends both directions at once so that the peer sees a reset where the medium knows one. What waits fails.</summary>
    public abstract void Reset();

    /// <summary>Lets go of the medium. What waits fails.</summary>
    public abstract void Close();
}

/// <summary>Whoever waits for a <see cref="ByteChannel"/> to have something.</summary>
internal interface IReceiver
{
    /// <summary>A receive can be tried. Called outside of any lock of the channel.</summary>
    void OnReady();

    /// <summary>The connection is lost, and no receive waits. Called outside of any lock of the channel, perhaps more than once.</summary>
    void OnLost();
}

using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Timeouts;

/// <summary>One connection's timeouts: the instants from which they count, which the transport reports, and their check by the heartbeat.</summary>
internal sealed class ConnectionTimeouts : ConnectionResource, IProgressObserver, IIdleTime
{
    /// <summary>No message has begun.</summary>
    private const long None = -1;

    private readonly IByteStreamTransportFeature _link;
    private readonly IConnectionProgress _progress;
    private readonly TimeoutLimits _limits;
    private readonly uint _accepted;
    private readonly uint _began;

    // Bytes received and sent at the last check: neither count falls, so their sum is unchanged only if both are.
    private long _transferred;

    // Written by the threads that read and send, read by the heartbeat; zero is for none.
    private long _messageAt = None;
    private long _receivedAtMessage;
    private uint _waitingSince;
    private uint _stalledSince;
    private uint _messageSince;
    private uint _recordSince;
    private uint _halfClosedSince;

    // Relay: sends to the upstream.
    private UpstreamSends? _upstream;

    private uint _endedAt;
    private uint _movedAt;
    private ConnectionCloseReason _reason;

    /// <param name="link">Closes the connection.</param>
    /// <param name="progress">Reports its progress.</param>
    /// <param name="limits">The times, and the clock.</param>
    /// <param name="accepted">The clock's timestamp of the accept; null on another transport.</param>
    public ConnectionTimeouts(IByteStreamTransportFeature link, IConnectionProgress progress, TimeoutLimits limits, long? accepted)
    {
        _link = link;
        _progress = progress;
        _limits = limits;
        Heartbeat heart = limits.Heart;
        uint now = heart.Now;
        _accepted = accepted is long at ? heart.At(at) : now;
        // A record may have begun before anything is observed: with the handshake's last bytes.
        _began = _waitingSince = _stalledSince = _recordSince = _movedAt = now;
        bool halfClosed = limits.HalfClosed != TimeoutLimits.Never;
        progress.Observe(
            this,
            input: limits.ReceiveIdle != TimeoutLimits.Never || limits.Rate > 0 || halfClosed,
            output: limits.SendStall != TimeoutLimits.Never || halfClosed);
        if (progress.IsInputEnded != progress.IsOutputEnded)
        {
            // Middleware before this one has read to the end already.
            OnDirectionEnds();
        }
    }

    /// <summary>Whether the connection is closed, and needs no further check.</summary>
    public bool IsOver => _progress.IsClosed;

    /// <summary>The index in the heartbeat's array, guarded by its lock; -1 where it is not checked.</summary>
    public int Index { get; set; } = -1;

    private long Transferred => _link.BytesReceived + _link.BytesSent;

    /// <inheritdoc/>
    public TimeSpan Idle => Transferred != _transferred
        ? TimeSpan.Zero
        : TimeSpan.FromSeconds((double)(_limits.Heart.Now - _movedAt) / Heartbeat.UnitsPerSecond);

    /// <summary>
    /// A closed connection leaves the heartbeat at once, because a reference for up to a second makes the collector copy all objects of short
    /// connections. A connection that the transport still closes is checked until it is closed.
    /// </summary>
    public override void Release()
    {
        if (IsOver)
        {
            _limits.Heart.Remove(this);
        }
    }

    /// <summary>Returns the reason for which the connection is to be closed; none where no time is over.</summary>
    public ConnectionCloseReason Check()
    {
        if (_reason != ConnectionCloseReason.None)
        {
            return _limits.Heart.Now - _endedAt > TimeoutLimits.Delivery ? _reason : ConnectionCloseReason.None;
        }

        long transferred = Transferred;
        if (transferred != _transferred)
        {
            (_transferred, _movedAt) = (transferred, _limits.Heart.Now);
        }

        // First the states, then their instants, then the clock: another thread may change each in between, and no wait may appear longer than it is.
        _progress.Sample();
        bool sending = _progress.IsSendWaiting;
        bool waiting = _progress.IsWaitingForInput;
        bool inputEnded = _progress.IsInputEnded;
        bool halfClosed = inputEnded != _progress.IsOutputEnded;
        bool rated = waiting && !inputEnded && _limits.Rate > 0;
        bool message = rated && _progress.BufferedInput > 0;
        int unfinished = rated ? _progress.UnfinishedInput : 0;
        long receivedAtMessage = Volatile.Read(ref _receivedAtMessage);
        uint waitingSince = Volatile.Read(ref _waitingSince);
        uint stalledSince = Volatile.Read(ref _stalledSince);
        uint messageSince = Volatile.Read(ref _messageSince);
        uint recordSince = Volatile.Read(ref _recordSince);
        uint halfClosedSince = Volatile.Read(ref _halfClosedSince);
        uint now = _limits.Heart.Now;
        long inputReceived = _progress.InputReceived;
        uint upstreamStalled = Volatile.Read(ref _upstream)?.StalledFor(now) ?? 0;
        bool stalled = (sending && now - stalledSince >= _limits.SendStall) || upstreamStalled >= _limits.SendStall;
        if (_link.CloseReason != ConnectionCloseReason.None)
        {
            // It is closing already; only a peer that receives nothing can still delay that.
            return stalled ? ConnectionCloseReason.SendStallTimeout : ConnectionCloseReason.None;
        }

        return waiting && inputReceived == 0 && now - _began >= _limits.FirstByte ? ConnectionCloseReason.FirstByteTimeout
            : waiting && !inputEnded && now - waitingSince >= _limits.ReceiveIdle ? ConnectionCloseReason.ReceiveIdleTimeout
            : stalled ? ConnectionCloseReason.SendStallTimeout
            : message && messageSince != 0 && IsTooSlow(now - messageSince, inputReceived - receivedAtMessage + unfinished) ? ConnectionCloseReason.ReceiveRateTooLow
            : !message && unfinished > 0 && IsTooSlow(now - recordSince, unfinished) ? ConnectionCloseReason.ReceiveRateTooLow
            : now - _accepted >= _limits.Lifetime ? ConnectionCloseReason.LifetimeExceeded
            : halfClosed && halfClosedSince != 0 && now - halfClosedSince >= _limits.HalfClosed ? ConnectionCloseReason.HalfClosedTimeout
            // EOF has arrived and is not read, because the upstream receives nothing of what came before it.
            : upstreamStalled >= _limits.HalfClosed && _progress.HasEndArrived ? ConnectionCloseReason.HalfClosedTimeout
            : ConnectionCloseReason.None;
    }

    /// <summary>Closes the connection. A second call aborts it: the close took too long.</summary>
    public void End(ConnectionCloseReason reason)
    {
        if (_reason != ConnectionCloseReason.None || reason == ConnectionCloseReason.SendStallTimeout)
        {
            _link.Abort(reason, new ConnectionAbortedException($"The connection was aborted: {reason}."));
            return;
        }

        _reason = reason;
        _endedAt = _limits.Heart.Now;
        _link.Close(reason);
    }

    void IProgressObserver.OnReadWaits()
    {
        uint now = _limits.Heart.Now;
        Volatile.Write(ref _waitingSince, now);
        if (_limits.Rate == 0)
        {
            return;
        }

        // The buffered bytes are the beginning of a message; its position distinguishes one message from the next.
        long received = _progress.InputReceived;
        long at = received - _progress.BufferedInput;
        if (at == received)
        {
            _messageAt = None;
            Volatile.Write(ref _messageSince, 0);
        }
        else if (at != _messageAt)
        {
            _messageAt = at;
            // In this order: the check reads them in reverse, and never combines an old time with a new count.
            Volatile.Write(ref _messageSince, Math.Max(1, now));
            Volatile.Write(ref _receivedAtMessage, received);
        }
    }

    void IProgressObserver.OnRecordBegins() => Volatile.Write(ref _recordSince, _limits.Heart.Now);

    void IProgressObserver.OnSendWaits() => Volatile.Write(ref _stalledSince, _limits.Heart.Now);

    void IProgressObserver.OnDirectionEnds() => OnDirectionEnds();

    void IProgressObserver.OnRelayed(IConnectionProgress upstream)
    {
        if (_limits.SendStall != TimeoutLimits.Never || _limits.HalfClosed != TimeoutLimits.Never)
        {
            var sends = new UpstreamSends(upstream, _limits.Heart);
            upstream.Observe(sends, input: false, output: true);
            Volatile.Write(ref _upstream, sends);
        }
    }

    private void OnDirectionEnds() =>
        _ = Interlocked.CompareExchange(ref _halfClosedSince, Math.Max(1, _limits.Heart.Now), 0);

    private bool IsTooSlow(uint taken, long received) =>
        taken >= _limits.RateGrace && received * Heartbeat.UnitsPerSecond < (long)_limits.Rate * taken;

    /// <summary>Sends to a relay's upstream, and the instant from which one waits.</summary>
    private sealed class UpstreamSends(IConnectionProgress upstream, Heartbeat heart) : IProgressObserver
    {
        private uint _since = heart.Now;

        public uint StalledFor(uint now)
        {
            // First the state, then its instant, as the check does.
            bool waits = upstream.IsSendWaiting;
            uint since = Volatile.Read(ref _since);
            return waits && now > since ? now - since : 0;
        }

        void IProgressObserver.OnReadWaits()
        {
            // Only sends are observed.
        }

        void IProgressObserver.OnRecordBegins()
        {
            // Only sends are observed.
        }

        void IProgressObserver.OnSendWaits() => Volatile.Write(ref _since, heart.Now);

        void IProgressObserver.OnDirectionEnds()
        {
            // The end of a direction counts on the client's connection.
        }

        void IProgressObserver.OnRelayed(IConnectionProgress upstream)
        {
            // An upstream's connection is not relayed again.
        }
    }
}

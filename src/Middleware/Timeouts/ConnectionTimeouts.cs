using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Timeouts;

/// <summary>One connection as the heartbeat sees it: what has moved since the last look, and since when nothing has.</summary>
internal sealed class ConnectionTimeouts(IByteStreamTransportFeature link, IConnectionProgress progress, TimeoutLimits limits, Heartbeat heart)
{
    private readonly uint _began = heart.Now;
    private long _received;
    private long _sent;
    private long _receivedAtMessage;
    private uint _waitingSince = heart.Now;
    private uint _stalledSince = heart.Now;
    private uint _messageSince = heart.Now;
    private uint _halfClosedSince;
    private uint _endedAt;
    private uint _movedAt = heart.Now;
    private ConnectionEndReason _reason;

    /// <summary>Whether there is nothing more to look at.</summary>
    public bool IsOver => progress.IsClosed;

    /// <summary>For how long nothing has come or gone; as exact as the heartbeat is.</summary>
    public TimeSpan Idle => link.BytesReceived != _received || link.BytesSent != _sent
        ? TimeSpan.Zero
        : TimeSpan.FromMilliseconds((heart.Now - _movedAt) * 100L);

    /// <summary>Looks what has happened, and answers why the connection is to be ended, if it is.</summary>
    public ConnectionEndReason Look(uint now)
    {
        if (_reason != ConnectionEndReason.None)
        {
            return now - _endedAt > TimeoutLimits.Delivery ? _reason : ConnectionEndReason.None;
        }

        if (link.EndReason != ConnectionEndReason.None)
        {
            // It is ending already; only a peer that takes nothing can still hold it.
            return IsStalled(now) ? ConnectionEndReason.SendStallTimeout : ConnectionEndReason.None;
        }

        long received = link.BytesReceived;
        if (received != _received || link.BytesSent != _sent)
        {
            _movedAt = now;
        }

        bool waiting = progress.IsWaitingForInput;
        if (received != _received || !waiting)
        {
            _waitingSince = now;
        }

        // A part of a message, and a read that waits for the rest of it.
        bool slow = waiting && progress.BufferedInput > 0 && !progress.IsInputEnded;
        if (!slow)
        {
            (_messageSince, _receivedAtMessage) = (now, received);
        }

        _received = received;
        return received == 0 && now - _began >= limits.FirstByte && waiting ? ConnectionEndReason.FirstByteTimeout
            : waiting && !progress.IsInputEnded && now - _waitingSince >= limits.ReceiveIdle ? ConnectionEndReason.ReceiveIdleTimeout
            : IsStalled(now) ? ConnectionEndReason.SendStallTimeout
            : slow && IsTooSlow(now, received) ? ConnectionEndReason.ReceiveRateTooLow
            : now - _began >= limits.Lifetime ? ConnectionEndReason.LifetimeExceeded
            : IsHalfClosed(now) ? ConnectionEndReason.HalfClosedTimeout
            : ConnectionEndReason.None;
    }

    /// <summary>Ends the connection; called again, it has not ended in time, and is aborted.</summary>
    public void End(ConnectionEndReason reason)
    {
        if (_reason != ConnectionEndReason.None || reason == ConnectionEndReason.SendStallTimeout)
        {
            link.Abort(reason, new ConnectionAbortedException($"The connection was aborted: {reason}."));
            return;
        }

        _reason = reason;
        _endedAt = heart.Now;
        link.Close(reason);
    }

    private bool IsStalled(uint now)
    {
        long sent = link.BytesSent;
        if (sent != _sent || link.WriteBufferSize == 0)
        {
            (_sent, _stalledSince) = (sent, now);
            return false;
        }

        return now - _stalledSince >= limits.SendStall;
    }

    private bool IsTooSlow(uint now, long received)
    {
        uint taken = now - _messageSince;
        return limits.Rate > 0 && taken >= limits.RateGrace && (received - _receivedAtMessage) * 10 < (long)limits.Rate * taken;
    }

    private bool IsHalfClosed(uint now)
    {
        if (progress.IsInputEnded == progress.IsOutputEnded)
        {
            _halfClosedSince = 0;
            return false;
        }

        if (_halfClosedSince == 0)
        {
            _halfClosedSince = now + 1;
        }

        return now + 1 - _halfClosedSince >= limits.HalfClosed;
    }
}

using ByteStreams.Telemetry;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>The transport feature of any connection: its own, or one that is laid over Kestrel's stock transport here.</summary>
internal static class ConnectionLink
{
    public static IByteStreamTransportFeature Of(ConnectionContext context)
    {
        if (context.Features.Get<IByteStreamTransportFeature>() is IByteStreamTransportFeature own)
        {
            return own;
        }

        var laidOver = new StockTransport(context);
        context.Transport = laidOver;
        context.Features.Set<IByteStreamTransportFeature>(laidOver);
        context.Features.Set<IConnectionProgress>(laidOver);
        return laidOver;
    }

    public static IConnectionProgress Progress(ConnectionContext context)
    {
        IByteStreamTransportFeature link = Of(context);
        return context.Features.Get<IConnectionProgress>() ?? new ForeignProgress(link);
    }

    /// <summary>
    /// Of a transport that has the feature and is not ours: it does not report whether a read waits, so one counts as waiting, and the
    /// heartbeat finds what has moved.
    /// </summary>
    private sealed class ForeignProgress(IByteStreamTransportFeature link) : IConnectionProgress
    {
        private IProgressObserver? _observer;
        private long _received;
        private long _sent;

        public bool IsSendWaiting => link.WriteBufferSize > 0;

        public long InputReceived => link.BytesReceived;

        public bool IsWaitingForInput => true;

        public long BufferedInput => 0;

        public bool IsInputEnded => link.EndReason == ConnectionEndReason.ClosedByPeer;

        public bool IsOutputEnded => link.EndReason != ConnectionEndReason.None;

        public bool IsClosed => link.EndReason != ConnectionEndReason.None;

        public long FirstByteAt => 0;

        public void Observe(IProgressObserver observer, bool input, bool output) => _observer = observer;

        public void Sample()
        {
            (long received, long sent) = (link.BytesReceived, link.BytesSent);
            if (received != _received)
            {
                _observer?.OnReadWaits();
            }

            if (sent != _sent || link.WriteBufferSize == 0)
            {
                _observer?.OnSendWaits();
            }

            (_received, _sent) = (received, sent);
        }

        public ConnectionRecord? Record
        {
            get => null;
            set
            {
                // Nobody finds it again: who has something to give back waits for the end itself.
            }
        }
    }
}

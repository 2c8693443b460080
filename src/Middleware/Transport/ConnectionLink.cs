using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Transport;

/// <summary>The transport feature of any connection: its own, or an adapter over another transport.</summary>
internal static class ConnectionLink
{
    public static IByteStreamTransportFeature Of(ConnectionContext context)
    {
        if (context.Features.Get<IByteStreamTransportFeature>() is IByteStreamTransportFeature own)
        {
            return own;
        }

        var laidOver = new KestrelSocketTransportAdapter(context);
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
    /// Waits for the end of a connection whose close has begun. If its server stops, the wait ends when the transport has taken what was written:
    /// the linger for a peer that has not closed continues by itself, and does not delay the stop.
    /// </summary>
    public static Task WaitForEndAsync(ConnectionContext context)
    {
        IByteStreamTransportFeature link = Of(context);
        IConnectionProgress progress = Progress(context);
        Task output = progress.OutputFinished;
        return progress.IsClosed && output.IsCompleted ? Task.CompletedTask : WaitForEndAsync(context, link, output);
    }

    private static async Task WaitForEndAsync(ConnectionContext context, IByteStreamTransportFeature link, Task output)
    {
        await output.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        CancellationToken stopping = context.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? default;

        // The loss of a connection after its handler has returned is in its close reason; there is nothing to throw it to.
        await link.WaitClosedAsync().WaitAsync(stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>
    /// For another library's transport with the feature: it does not report whether a read waits, so one counts as waiting, and the heartbeat compares
    /// the byte counts.
    /// </summary>
    private sealed class ForeignProgress(IByteStreamTransportFeature link) : IConnectionProgress
    {
        private IProgressObserver? _observer;
        private IEndObserver? _endObserver;
        private long _received;
        private long _sent;

        public bool IsSendWaiting => link.WriteBufferSize > 0;

        public long InputReceived => link.BytesReceived;

        public bool IsWaitingForInput => true;

        public long BufferedInput => 0;

        public bool IsInputEnded => link.CloseReason == ConnectionCloseReason.ClosedByPeer;

        public bool IsOutputEnded => link.CloseReason != ConnectionCloseReason.None;

        public bool IsClosed => link.CloseReason != ConnectionCloseReason.None;

        public long FirstByteAt => 0;

        public Task OutputFinished => link.WaitClosedAsync();

        public IProgressObserver? Observer => _observer;

        public void ObserveEnd(IEndObserver? observer)
        {
            bool isFirst = Interlocked.Exchange(ref _endObserver, observer) is null;
            if (isFirst && observer is not null)
            {
                _ = ReportEndingAsync();
            }
        }

        private async Task ReportEndingAsync()
        {
            await link.WaitClosedAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Volatile.Read(ref _endObserver)?.OnEnding();
        }

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
    }
}

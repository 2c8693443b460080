using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Relay;

/// <summary>
/// A client's connection and an upstream's, each read into the other. Nothing is copied but what a socket does not take at once, and
/// who does not read pauses who sends: a direction is not read while more than the high-water mark waits to be sent.
/// </summary>
/// <param name="client">The client's connection.</param>
/// <param name="upstream">The upstream's connection.</param>
/// <param name="quiet">How long nothing moves before a stop ends the connection.</param>
/// <param name="waitsForAnswer">Whether a stop waits for an answer that has not begun.</param>
/// <param name="grace">How long what one side had sent before it was lost may take to reach the other.</param>
/// <param name="time">The clock of both.</param>
/// <remarks>
/// A pump that waits for one connection does not see the end of the other: a timeout, an operator, or a reset while nothing is read. So both
/// report their end here, and the end of one ends the other.
/// </remarks>
internal sealed class RelayedConnection(ConnectionContext client, ConnectionContext upstream, TimeSpan quiet, bool waitsForAnswer, TimeSpan grace, TimeProvider time)
    : IEndObserver
{
    private readonly IByteStreamTransportFeature _clientLink = ConnectionLink.Of(client);
    private readonly IByteStreamTransportFeature _upstreamLink = ConnectionLink.Of(upstream);
    private Task _up = Task.CompletedTask;
    private Task _down = Task.CompletedTask;
    private int _lost;
    private volatile bool _isOver;
    private volatile bool _isDisposed;

    // The last bytes that moved were the client's.
    private volatile bool _isAsked;

    private enum Side
    {
        Client,
        Upstream,
    }

    /// <summary>Returns when both directions have ended, or the connection is lost on either side, and the upstream's is disposed.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        (client.Features.Get<IByteStreamTransportFeature>() as TlsTransport)?.RelaxCloseNotify();
        IConnectionProgress clients = ConnectionLink.Progress(client);
        IConnectionProgress upstreams = ConnectionLink.Progress(upstream);
        try
        {
            clients.Observer?.OnRelayed(upstreams);
            await PumpAsync(clients, upstreams, stopping).ConfigureAwait(false);
        }
        finally
        {
            // The client's end still aborts an upstream that does not take the rest; the upstream's ends the client no more.
            _isOver = true;
            upstreams.ObserveEnd(null);
            await upstream.DisposeAsync().ConfigureAwait(false);
            _isDisposed = true;
            clients.ObserveEnd(null);
        }
    }

    /// <summary>
    /// Whether the upstream has something to answer, as far as a relay can tell: the client was the last to send, or the upstream has not
    /// taken all of it.
    /// </summary>
    private bool IsAnswerDue => !_down.IsCompleted && (_isAsked || _upstreamLink.WriteBufferSize > 0);

    void IEndObserver.OnEnding()
    {
        if (_isDisposed)
        {
            // A call that has crossed the end of the observation: the upstream lingers, and the client is closed as its server does.
            return;
        }

        if (_isOver)
        {
            if (_clientLink.EndReason != ConnectionEndReason.None)
            {
                _upstreamLink.Abort(ConnectionEndReason.Aborted, new ConnectionAbortedException("The client's connection has ended."));
            }

            return;
        }

        if (_clientLink.EndReason is not ConnectionEndReason.None and ConnectionEndReason reason)
        {
            // An upstream that takes nothing gets nothing more of a client that is gone.
            OnEnding(Side.Client, reason, IsLoss(reason) && _upstreamLink.WriteBufferSize == 0);
        }
        else if (_upstreamLink.EndReason is not ConnectionEndReason.None and ConnectionEndReason upstreamReason)
        {
            OnEnding(Side.Upstream, upstreamReason, IsLoss(upstreamReason));
        }
    }

    /// <param name="side">The side that ends.</param>
    /// <param name="reason">Why.</param>
    /// <param name="isLost">Whether it was lost: what it had sent before goes to the other side first, within the grace.</param>
    private void OnEnding(Side side, ConnectionEndReason reason, bool isLost)
    {
        string what = $"The {(side == Side.Client ? "client" : "upstream")}'s connection has ended: {reason}.";
        _ = isLost ? LoseAfterGraceAsync(side, new ConnectionResetException(what)) : LoseAsync(side, new ConnectionAbortedException(what));
    }

    private async Task LoseAfterGraceAsync(Side side, ConnectionResetException loss)
    {
        await Task.WhenAll(_up, _down).WaitAsync(grace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!_isOver)
        {
            await LoseAsync(side, loss).ConfigureAwait(false);
        }
    }

    private async Task PumpAsync(IConnectionProgress clients, IConnectionProgress upstreams, CancellationToken stopping)
    {
        Task<Exception?> up = PumpAsync(client.Transport.Input, Side.Client, clients, upstream.Transport.Output);
        Task<Exception?> down = PumpAsync(upstream.Transport.Input, Side.Upstream, upstreams, client.Transport.Output);
        (_up, _down) = (up, down);
        clients.ObserveEnd(this);
        upstreams.ObserveEnd(this);

        // Where the server stops already, this is done here and now.
        using CancellationTokenRegistration told = stopping.UnsafeRegister(static relayed => _ = ((RelayedConnection)relayed!).EndWhenQuietAsync(), this);

        Task<Exception?> first = await Task.WhenAny(up, down).ConfigureAwait(false);
        Task<Exception?> second = first == up ? down : up;
        if (await first.ConfigureAwait(false) is Exception loss)
        {
            // A side that takes no more bytes may have sent some before, such as the reason: the other direction reads them, and then the loss.
            await ((Task)second).WaitAsync(grace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await LoseAsync(first == up ? Side.Upstream : Side.Client, loss).ConfigureAwait(false);
            await second.ConfigureAwait(false);
        }
        else if (await second.ConfigureAwait(false) is Exception lastLoss)
        {
            await LoseAsync(second == up ? Side.Upstream : Side.Client, lastLoss).ConfigureAwait(false);
        }
    }

    private async Task EndWhenQuietAsync()
    {
        Task ended = Task.WhenAll(_up, _down);
        (long, long, long, long) before;
        do
        {
            before = Moved();
            using var done = new CancellationTokenSource();
            Task pause = Task.Delay(quiet, time, done.Token);
            await Task.WhenAny(ended, pause).ConfigureAwait(false);
            await done.CancelAsync().ConfigureAwait(false);
        }
        while (!ended.IsCompleted && (before != Moved() || (waitsForAnswer && IsAnswerDue)));

        if (!ended.IsCompleted)
        {
            // Between two messages, as far as anybody can tell: both sides see a clean end.
            client.Transport.Input.CancelPendingRead();
            upstream.Transport.Input.CancelPendingRead();
        }

        (long, long, long, long) Moved() => (_clientLink.BytesReceived, _clientLink.BytesSent, _upstreamLink.BytesReceived, _upstreamLink.BytesSent);
    }

    /// <summary>Returns why the destination takes no more bytes; null where the source has ended or was lost.</summary>
    private async Task<Exception?> PumpAsync(PipeReader from, Side source, IConnectionProgress progress, PipeWriter to)
    {
        var passing = new Passing(this, source, to);
        while (true)
        {
            ReadResult read;
            try
            {
                read = from is TransportPipeReader reader && to is TransportPipeWriter
                    ? await reader.ReadAndForwardAsync(passing).ConfigureAwait(false)
                    : await from.ReadAsync().ConfigureAwait(false);
            }
            catch (Exception error) when (IsLoss(error))
            {
                await LoseAsync(source, error).ConfigureAwait(false);
                return null;
            }

            try
            {
                if (!read.Buffer.IsEmpty)
                {
                    _isAsked = source == Side.Client;
                }

                Write(to, read.Buffer);
                from.AdvanceTo(read.Buffer.End);
                ValueTask<FlushResult> flush = to.FlushAsync();
                FlushResult flushed = flush.IsCompleted || progress.ReportsLoss
                    ? await flush.ConfigureAwait(false)
                    : await LossWatch.WaitAsync(flush.AsTask(), progress, time).ConfigureAwait(false);
                if (flushed.IsCompleted)
                {
                    return IOutputFailure.Of(to);
                }

                if (read.IsCompleted || read.IsCanceled)
                {
                    await to.CompleteAsync().ConfigureAwait(false);
                    return null;
                }
            }
            catch (Exception error) when (IsLoss(error))
            {
                return error;
            }
        }
    }

    /// <summary>
    /// Resets both sides when one is lost, by which the other direction ends as well. The side that lives gets first what the lost one had
    /// sent; not where this side has given the connection up.
    /// </summary>
    private async Task LoseAsync(Side side, Exception error)
    {
        if (Interlocked.Exchange(ref _lost, 1) != 0)
        {
            return;
        }

        // The transport knows why its connection ended; where it does not, the middleware that ended it does.
        (ConnectionContext lost, ConnectionContext living) = side == Side.Client ? (client, upstream) : (upstream, client);
        if (ConnectionLink.Of(lost).EndReason is ConnectionEndReason.None or ConnectionEndReason.ResetByPeer)
        {
            // Not where a close from this side has begun, which goes on to deliver what was written.
            ConnectionLink.Of(lost).Abort(error is TlsTruncatedException && side == Side.Client ? ConnectionEndReason.TlsTruncated : ConnectionEndReason.Aborted, error);
        }

        ConnectionEndReason reason = side == Side.Client ? ConnectionEndReason.Aborted : ConnectionEndReason.UpstreamReset;
        IByteStreamTransportFeature link = ConnectionLink.Of(living);
        if (error is not ConnectionAbortedException && link is IOrderlyReset orderly)
        {
            // A peer that has ended without close_notify has sent everything in order: a slow side gets all of it.
            await orderly.AbortWhenSentAsync(reason, error, waitsForSlowPeer: error is TlsTruncatedException).ConfigureAwait(false);
        }
        else
        {
            link.Abort(reason, error);
        }
    }

    private static void Write(PipeWriter to, in ReadOnlySequence<byte> bytes)
    {
        foreach (ReadOnlyMemory<byte> segment in bytes)
        {
            if (to is TransportPipeWriter channel)
            {
                channel.WriteThrough(segment.Span);
            }
            else
            {
                to.Write(segment.Span);
            }
        }
    }

    private static bool IsLoss(ConnectionEndReason reason) => reason is ConnectionEndReason.ResetByPeer or ConnectionEndReason.TimedOut;

    private static bool IsLoss(Exception error) => error is IOException or ConnectionAbortedException or InvalidOperationException;

    /// <summary>One direction.</summary>
    private sealed class Passing(RelayedConnection relayed, Side source, PipeWriter to) : IOnward
    {
        public TransportPipeWriter Writer => (TransportPipeWriter)to;

        public void OnPassing() => relayed._isAsked = source == Side.Client;
    }
}

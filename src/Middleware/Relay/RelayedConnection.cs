using ByteStreams.Tls;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Relay;

/// <summary>
/// A client's connection and an upstream's connection, each forwarded to the other by a <see cref="RelayPump"/>. Coordinates the two: half-close,
/// failure of one side, and the stop of the server.
/// </summary>
/// <param name="client">The client's connection.</param>
/// <param name="upstream">The upstream's connection.</param>
/// <param name="quiet">The idle time after which a stop closes the connection.</param>
/// <param name="waitsForAnswer">Whether a stop waits for a response that has not begun.</param>
/// <param name="grace">The time to deliver to one side what the other side had sent before it failed.</param>
/// <param name="time">The clock of both.</param>
/// <remarks>
/// A pump that waits for one connection does not notice that the other one closes because of a timeout, an operator, or a reset while nothing is
/// read. Therefore both connections report their close to this object.
/// </remarks>
internal sealed class RelayedConnection(ConnectionContext client, ConnectionContext upstream, TimeSpan quiet, bool waitsForAnswer, TimeSpan grace, TimeProvider time)
    : IEndObserver
{
    private readonly IByteStreamTransportFeature _clientLink = ConnectionLink.Of(client);
    private readonly IByteStreamTransportFeature _upstreamLink = ConnectionLink.Of(upstream);
    private Task _up = Task.CompletedTask;
    private Task _down = Task.CompletedTask;
    private int _hasFailed;
    private int _ended;
    private volatile bool _isDone;
    private volatile bool _isDisposed;

    // Whether the last forwarded bytes were the client's.
    private volatile bool _isRequestLast;

    /// <summary>Runs until both directions are closed or either side has failed, and disposes the upstream's connection.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        (client.Features.Get<IByteStreamTransportFeature>() as TlsTransport)?.RelaxCloseNotify();
        IConnectionProgress clients = ConnectionLink.Progress(client);
        IConnectionProgress upstreams = ConnectionLink.Progress(upstream);
        try
        {
            clients.Observer?.OnRelayed(upstreams);
            await PumpBothAsync(clients, upstreams, stopping).ConfigureAwait(false);
        }
        finally
        {
            // A close of the client's connection still aborts an upstream that does not read the rest; the reverse no longer holds.
            _isDone = true;
            upstreams.ObserveEnd(null);
            await upstream.DisposeAsync().ConfigureAwait(false);
            _isDisposed = true;
            clients.ObserveEnd(null);
        }
    }

    /// <summary>Whether the upstream owes a response: the client sent the last bytes, or the upstream has not accepted all of them.</summary>
    private bool IsAnswerDue => !_down.IsCompleted && (_isRequestLast || _upstreamLink.WriteBufferSize > 0);

    void IEndObserver.OnEnding()
    {
        if (_isDisposed)
        {
            // The call raced with ObserveEnd(null): the upstream lingers, and the server closes the client's connection.
            return;
        }

        if (_isDone)
        {
            if (_clientLink.CloseReason != ConnectionCloseReason.None)
            {
                _upstreamLink.Abort(ConnectionCloseReason.Aborted, new ConnectionAbortedException("The client's connection was closed."));
            }

            return;
        }

        if (_clientLink.CloseReason is not ConnectionCloseReason.None and ConnectionCloseReason reason)
        {
            // If the upstream does not read, the rest of a disconnected client's bytes is not delivered.
            OnEnding(RelaySide.Client, reason, IsFailure(reason) && _upstreamLink.WriteBufferSize == 0);
        }
        else if (_upstreamLink.CloseReason is not ConnectionCloseReason.None and ConnectionCloseReason upstreamReason)
        {
            OnEnding(RelaySide.Upstream, upstreamReason, IsFailure(upstreamReason));
        }
    }

    /// <param name="side">The side that closes.</param>
    /// <param name="reason">The close reason.</param>
    /// <param name="hasFailed">Whether it failed: what it had sent is delivered to the other side first, within the grace.</param>
    private void OnEnding(RelaySide side, ConnectionCloseReason reason, bool hasFailed)
    {
        string what = $"The {(side == RelaySide.Client ? "client" : "upstream")}'s connection was closed: {reason}.";
        _ = hasFailed ? FailAfterGraceAsync(side, new ConnectionResetException(what)) : FailAsync(side, new ConnectionAbortedException(what));
    }

    private async Task FailAfterGraceAsync(RelaySide side, ConnectionResetException error)
    {
        await Task.WhenAll(_up, _down).WaitAsync(grace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!_isDone)
        {
            await FailAsync(side, error).ConfigureAwait(false);
        }
    }

    private async Task PumpBothAsync(IConnectionProgress clients, IConnectionProgress upstreams, CancellationToken stopping)
    {
        Task<Exception?> up = new RelayPump(this, RelaySide.Client, client.Transport.Input, upstream.Transport.Output, clients, time).RunAsync();
        Task<Exception?> down = new RelayPump(this, RelaySide.Upstream, upstream.Transport.Input, client.Transport.Output, upstreams, time).RunAsync();
        (_up, _down) = (up, down);
        clients.ObserveEnd(this);
        upstreams.ObserveEnd(this);

        // If the server is already stopping, the callback runs here.
        using CancellationTokenRegistration registration = stopping.UnsafeRegister(static relayed => _ = ((RelayedConnection)relayed!).CloseWhenQuietAsync(), this);

        Task<Exception?> first = await Task.WhenAny(up, down).ConfigureAwait(false);
        Task<Exception?> second = first == up ? down : up;
        if (await first.ConfigureAwait(false) is Exception error)
        {
            // A side that accepts no more bytes may have sent some before, such as an error message: the other direction delivers them first.
            await ((Task)second).WaitAsync(grace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await FailAsync(first == up ? RelaySide.Upstream : RelaySide.Client, error).ConfigureAwait(false);
            await second.ConfigureAwait(false);
        }
        else if (await second.ConfigureAwait(false) is Exception secondError)
        {
            await FailAsync(second == up ? RelaySide.Upstream : RelaySide.Client, secondError).ConfigureAwait(false);
        }
    }

    private async Task CloseWhenQuietAsync()
    {
        Task closed = Task.WhenAll(_up, _down);
        (long, long, long, long) before;
        do
        {
            before = GetCounts();
            using var done = new CancellationTokenSource();
            Task pause = Task.Delay(quiet, time, done.Token);
            await Task.WhenAny(closed, pause).ConfigureAwait(false);
            await done.CancelAsync().ConfigureAwait(false);
        }
        while (!closed.IsCompleted && (before != GetCounts() || (waitsForAnswer && IsAnswerDue)));

        if (!closed.IsCompleted)
        {
            // Idle, probably between two messages: both sides see a clean EOF.
            client.Transport.Input.CancelPendingRead();
            upstream.Transport.Input.CancelPendingRead();
        }

        (long, long, long, long) GetCounts() => (_clientLink.BytesReceived, _clientLink.BytesSent, _upstreamLink.BytesReceived, _upstreamLink.BytesSent);
    }

    /// <summary>Called by a pump before it forwards bytes.</summary>
    /// <param name="source">The side that sent them.</param>
    internal void OnForwarding(RelaySide source) => _isRequestLast = source == RelaySide.Client;

    /// <summary>
    /// Called by a pump whose source has ended. Answers whether it is the second one: then both connections are closed at once, which ends the
    /// direction of a socket without a call of its own.
    /// </summary>
    internal bool EndsWithDirection() => Interlocked.Increment(ref _ended) == 2;

    /// <summary>
    /// Resets both sides after one has failed, which also ends the other direction. What the failed side had sent is delivered first, unless this
    /// side has aborted the connection.
    /// </summary>
    internal async Task FailAsync(RelaySide side, Exception error)
    {
        if (Interlocked.Exchange(ref _hasFailed, 1) != 0)
        {
            return;
        }

        (ConnectionContext failed, ConnectionContext other) = side == RelaySide.Client ? (client, upstream) : (upstream, client);
        if (ConnectionLink.Of(failed).CloseReason is ConnectionCloseReason.None or ConnectionCloseReason.ResetByPeer)
        {
            // Any other reason means that a local close has begun, which still delivers the buffered bytes.
            ConnectionLink.Of(failed).Abort(
                error is TlsTruncatedException && side == RelaySide.Client ? ConnectionCloseReason.TlsTruncated : ConnectionCloseReason.Aborted, error);
        }

        ConnectionCloseReason reason = side == RelaySide.Client ? ConnectionCloseReason.Aborted : ConnectionCloseReason.UpstreamReset;
        IByteStreamTransportFeature link = ConnectionLink.Of(other);
        if (error is not ConnectionAbortedException && link is IOrderlyReset orderly)
        {
            // A peer that closed without close_notify has sent everything in order: a slow side gets all of it.
            await orderly.AbortWhenSentAsync(reason, error, waitsForSlowPeer: error is TlsTruncatedException).ConfigureAwait(false);
        }
        else
        {
            link.Abort(reason, error);
        }
    }

    private static bool IsFailure(ConnectionCloseReason reason) => reason is ConnectionCloseReason.ResetByPeer or ConnectionCloseReason.TimedOut;
}

namespace ByteStreams.Pooling;

/// <summary>A connection of a pool: rented, or idle and watched.</summary>
internal sealed class PooledConnection(ByteStreamConnection connection, long openedAt) : IDisposable
{
    private CancellationTokenSource? _watch;
    private Task<bool> _ended = Task.FromResult(false);

    public ByteStreamConnection Connection => connection;

    /// <summary>Whether <see cref="Watch"/> has called back. Guarded by the pool's lock.</summary>
    public bool HasEnded { get; set; }

    /// <summary>The timestamp of the connect.</summary>
    public long OpenedAt => openedAt;

    /// <summary>The timestamp at which it became idle.</summary>
    public long IdleSince { get; private set; }

    /// <summary>Whether a new exchange can begin: open, no error, and nothing is left of the last one.</summary>
    public bool IsUsable => !connection.Writer.IsClosing && connection.Reader is { Exception: null, HasBuffered: false, AtEof: false };

    /// <summary>Begins to wait for EOF, a failure, unexpected bytes or the end of the idle time.</summary>
    /// <param name="now">The timestamp.</param>
    /// <param name="idleTime">How long it may be idle.</param>
    /// <param name="time">The clock.</param>
    /// <param name="onEnded">Called when the connection is of no use any more, unless <see cref="StopAsync"/> was called before.</param>
    public void Watch(long now, TimeSpan idleTime, TimeProvider time, Action<PooledConnection> onEnded)
    {
        IdleSince = now;
        HasEnded = false;
        _watch = new CancellationTokenSource(idleTime, time);
        _ended = WatchAsync(onEnded, _watch.Token);
    }

    /// <summary>Ends the wait. No byte is lost.</summary>
    /// <returns>Whether the connection is still usable.</returns>
    public async Task<bool> StopAsync()
    {
        if (_watch is null)
        {
            return IsUsable;
        }

        await _watch.CancelAsync().ConfigureAwait(false);
        bool ended = await _ended.ConfigureAwait(false);
        _watch.Dispose();
        _watch = null;
        return !ended && IsUsable;
    }

    /// <summary>Releases the timer of the idle time.</summary>
    public void Dispose() => _watch?.Dispose();

    /// <returns>Whether the connection has ended, or has bytes that belong to no request.</returns>
    private async Task<bool> WatchAsync(Action<PooledConnection> onEnded, CancellationToken cancellationToken)
    {
        bool ended = true;
        try
        {
            await connection.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            ended = false;
        }
        catch (Exception lost) when (lost is IOException or InvalidOperationException)
        {
            // The connection is closed: its cause is of no interest to the next exchange.
        }

        onEnded(this);
        return ended;
    }
}

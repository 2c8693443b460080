using ByteStreams.Pooling;

namespace ByteStreams;

/// <content>Idle connections: which are kept, and which are of no further use.</content>
public sealed partial class ByteStreamPool
{
    /// <summary>Takes back a connection of a lease, and frees its slot.</summary>
    internal async ValueTask ReturnAsync(PooledConnection connection, bool isComplete)
    {
        _metrics.Changed(isIdle: false, -1);
        try
        {
            string? reason = !isComplete ? "incomplete" : !connection.IsUsable ? "unusable" : IsTooOld(connection) ? "lifetime" : _isDisposed ? "disposed" : null;
            if (reason is not null)
            {
                await CloseAsync(connection, reason).ConfigureAwait(false);
                return;
            }

            long now = _time.GetTimestamp();
            connection.Watch(now, _options.MaxIdleTime, _time, OnIdleEnded);
            bool isKept;
            lock (_idle)
            {
                // It may have ended since.
                isKept = !connection.HasEnded && !_isDisposed;
                if (isKept)
                {
                    _idle.Add(connection);
                    _metrics.Changed(isIdle: true, 1);
                }
            }

            if (!isKept)
            {
                await connection.StopAsync().ConfigureAwait(false);
                await CloseAsync(connection, _isDisposed ? "disposed" : "unusable").ConfigureAwait(false);
            }
        }
        finally
        {
            _slots.Release();
        }
    }

    /// <summary>Takes an idle connection that is usable; null if there is none.</summary>
    private async ValueTask<PooledConnection?> TakeIdleAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            PooledConnection connection;
            lock (_idle)
            {
                if (_idle.Count == 0)
                {
                    return null;
                }

                connection = _idle[^1];
                _idle.RemoveAt(_idle.Count - 1);
                _metrics.Changed(isIdle: true, -1);
            }

            string? reason;
            try
            {
                reason = !await connection.StopAsync().ConfigureAwait(false) ? "unusable"
                    : IsTooOld(connection) ? "lifetime"
                    : await IsHealthyAsync(connection, cancellationToken).ConfigureAwait(false) ? null : "unhealthy";
            }
            catch
            {
                await CloseAsync(connection, "cancelled").ConfigureAwait(false);
                throw;
            }

            if (reason is null)
            {
                return connection;
            }

            await CloseAsync(connection, reason).ConfigureAwait(false);
        }
    }

    private async ValueTask<bool> IsHealthyAsync(PooledConnection connection, CancellationToken cancellationToken)
    {
        if (_options.HealthCheck is null || _time.GetElapsedTime(connection.IdleSince) < _options.HealthCheckAfter)
        {
            return true;
        }

        using var timeout = new CancellationTokenSource(_options.ConnectTimeout, _time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            if (await _options.HealthCheck(connection.Connection, linked.Token).ConfigureAwait(false) && connection.IsUsable)
            {
                return true;
            }

            PoolLog.HealthCheckFailed(_logger, null, Name);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            PoolLog.HealthCheckFailed(_logger, error, Name);
        }

        cancellationToken.ThrowIfCancellationRequested();
        return false;
    }

    private bool IsTooOld(PooledConnection connection) =>
        _options.MaxLifetime != Timeout.InfiniteTimeSpan && _time.GetElapsedTime(connection.OpenedAt) >= _options.MaxLifetime;

    /// <summary>An idle connection has ended, has unexpected bytes, or was idle for too long; or it was taken, which has removed it before.</summary>
    private void OnIdleEnded(PooledConnection connection)
    {
        bool isRemoved;
        lock (_idle)
        {
            connection.HasEnded = true;
            isRemoved = _idle.Remove(connection);
            if (isRemoved)
            {
                _metrics.Changed(isIdle: true, -1);
            }
        }

        if (isRemoved)
        {
            _ = CloseAsync(connection, connection.IsUsable ? "idle" : "unusable").AsTask();
        }
    }

    private async ValueTask CloseAsync(PooledConnection connection, string reason)
    {
        _metrics.Closed(reason);
        PoolLog.Closed(_logger, Name, reason);
        if (reason is "incomplete" or "cancelled" or "unhealthy")
        {
            // The peer may wait for the rest of a request: it must not take the end for its end.
            connection.Connection.Writer.Abort();
        }

        connection.Dispose();
        try
        {
            await connection.Connection.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception error)
        {
            // Of connection middleware, after the exchange has ended.
            PoolLog.CloseFailed(_logger, error, Name);
        }
    }
}

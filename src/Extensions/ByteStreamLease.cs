using ByteStreams.Pooling;

namespace ByteStreams;

/// <summary>A connection that is rented from a <see cref="ByteStreamPool"/>. Dispose it exactly once, when the exchange has ended.</summary>
/// <remarks>
/// Disposing closes the connection, unless <see cref="Complete"/> was called: after an error or a cancellation, the answer to an earlier request may
/// still arrive on it. Not thread-safe.
/// </remarks>
public sealed class ByteStreamLease : IAsyncDisposable
{
    private readonly ByteStreamPool _pool;
    private PooledConnection? _connection;
    private bool _isComplete;

    internal ByteStreamLease(ByteStreamPool pool, PooledConnection connection)
    {
        _pool = pool;
        _connection = connection;
        Connection = connection.Connection;
    }

    /// <summary>The connection. Valid until the lease is disposed; do not dispose it.</summary>
    public ByteStreamConnection Connection { get; }

    /// <summary>Reads what the service sends.</summary>
    public ByteStreamReader Reader => Connection.Reader;

    /// <summary>Writes to the service.</summary>
    public ByteStreamWriter Writer => Connection.Writer;

    /// <summary>Declares that the exchange is complete: no byte is expected in either direction. The connection is used again.</summary>
    public void Complete() => _isComplete = true;

    /// <summary>Returns the connection to the pool if the exchange is complete and the connection is usable; else closes it.</summary>
    /// <returns>Done when the connection is returned or closed. A failed connection is not reported.</returns>
    public ValueTask DisposeAsync() => Interlocked.Exchange(ref _connection, null) is PooledConnection connection
        ? _pool.ReturnAsync(connection, _isComplete)
        : default;
}

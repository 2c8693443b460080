namespace ByteStreams.Connections;

/// <summary>
/// What a middleware has to release when a connection has closed. The runner calls it; an asynchronous frame of the middleware's own for a
/// <c>finally</c> would cost each idle connection 150 bytes.
/// </summary>
internal abstract class ConnectionResource
{
    /// <summary>The resource that was added before; for <see cref="ConnectionState"/>.</summary>
    public ConnectionResource? Earlier { get; set; }

    /// <summary>Called once. It must not wait.</summary>
    public abstract void Release();
}

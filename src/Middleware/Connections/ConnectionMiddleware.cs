using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Connections;

/// <summary>Built-in middleware that keeps something in the connection's state. The outermost one makes it where no server of this library has.</summary>
/// <param name="next">The next middleware.</param>
/// <param name="forwards">
/// Whether it does nothing after the next one, so that its task is the next one's. Where all middleware does so, <see cref="ConnectionRunner"/>
/// completes the handler in its own frame, which saves a frame of 200 bytes per idle connection.
/// </param>
internal abstract class ConnectionMiddleware(ConnectionDelegate next, bool forwards)
{
    private readonly bool _completesHandler = forwards && LeadsToHandler(next);

    /// <summary>The next middleware.</summary>
    protected ConnectionDelegate Next => next;

    /// <summary>Whether a pipeline is a handler of this library, with nothing but forwarding middleware before it.</summary>
    public static bool LeadsToHandler(ConnectionDelegate pipeline) =>
        pipeline.Target is ByteStreamConnectionHandler or ConnectionMiddleware { _completesHandler: true };

    public Task OnConnectionAsync(ConnectionContext context) => ConnectionState.Get(context) is ConnectionState connection
        ? ServeAsync(connection)
        : ConnectionRunner.RunAsync(ConnectionState.Create(context, _completesHandler), OnConnectionAsync);

    protected abstract Task ServeAsync(ConnectionState connection);
}

namespace ByteStreams.Streams;

/// <summary>The middleware of an outbound connection, which returns when the connection is disposed.</summary>
internal interface IOutboundMiddleware
{
    /// <summary>Ends the middleware, and waits until it has returned. Its errors are thrown.</summary>
    Task EndAsync();
}

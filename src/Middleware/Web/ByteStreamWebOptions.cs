namespace ByteStreams;

/// <summary>The options of a handler that <c>MapByteStreamHandler</c> adds to the application's routing.</summary>
public sealed class ByteStreamWebOptions
{
    /// <summary>
    /// The connection middleware, the readers' limit and the write buffer. Its name is the route's pattern by default. Addresses and sockets
    /// belong to the application's Kestrel: options of listeners and of TLS have no effect.
    /// </summary>
    public ByteStreamServerOptions Server { get; } = new();

    /// <summary>The accepted WebSocket subprotocols; the first one that the client offers as well is chosen. Empty by default.</summary>
    public IList<string> SubProtocols { get; } = [];

    /// <summary>
    /// Whether the bytes of text messages are received. False by default: a text message ends the connection with close code 1003. What the
    /// handler writes is always binary.
    /// </summary>
    public bool AcceptText { get; set; }

    /// <summary>The token of HTTP/1.1 <c>Upgrade</c> requests, such as <c>bytes</c>. Null, the default, refuses them.</summary>
    public string? UpgradeToken { get; set; }

    /// <summary>
    /// Whether a <c>POST</c> is served with its request body as the input and the response body as the output. True by default.
    /// </summary>
    public bool AcceptPost { get; set; } = true;
}

using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>What a connection builder of this library offers to the middleware that is added to it. The server's options implement it.</summary>
internal interface IConnectionBuilderServices
{
    TimeProvider TimeProvider { get; }

    ILoggerFactory LoggerFactory { get; }

    /// <summary>The endpoint's configured name; null without one.</summary>
    string? EndpointName { get; }

    /// <summary>The handler's name; null without one.</summary>
    string? HandlerName { get; }

    /// <summary>The endpoint's name in metrics: the configured one, else the addresses, which are known once they are bound.</summary>
    Func<string> GetEndpointLabel();

    /// <summary>Disposes a resource together with the server whose middleware is being built.</summary>
    void Own(IDisposable resource);
}

using ByteStreams.Client;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>Connection middleware of outbound connections.</content>
public partial class ByteStreamClientOptions : IConnectionBuilder, IConnectionBuilderServices
{
    // Shared by copies: it is built once for all connections of the options.
    private readonly OutboundPipeline _pipeline = new();

    /// <summary>The services that middleware may use; none by default.</summary>
    public IServiceProvider ApplicationServices { get; set; } = EmptyServices.Instance;

    string? IConnectionBuilderServices.EndpointName => null;

    string? IConnectionBuilderServices.HandlerName => null;

    /// <summary>The middleware; null without any.</summary>
    internal OutboundPipeline? Pipeline => _pipeline.IsEmpty ? null : _pipeline;

    /// <summary>
    /// Adds connection middleware to the outbound connections, such as <c>UseTimeouts</c> and <c>UseByteLogging</c>; the first one is the outermost. It
    /// runs after the TLS handshake and sees plain bytes. <c>next</c> completes when the connection is disposed or has closed.
    /// </summary>
    /// <param name="middleware">Makes the middleware around the next one.</param>
    /// <returns>These options.</returns>
    /// <remarks>
    /// Middleware that does not call <c>next</c> fails the connect. Middleware for accepted connections (<c>UseTls</c>, <c>UseAdmission</c>,
    /// <c>UseProxyProtocol</c>, <c>UseTelemetry</c>) has no place here. A relay does not run it on its upstream connections.
    /// </remarks>
    public ByteStreamClientOptions Use(Func<ConnectionDelegate, ConnectionDelegate> middleware)
    {
        ArgumentNullException.ThrowIfNull(middleware);
        _pipeline.Add(middleware);
        return this;
    }

    IConnectionBuilder IConnectionBuilder.Use(Func<ConnectionDelegate, ConnectionDelegate> middleware) => Use(middleware);

    ConnectionDelegate IConnectionBuilder.Build() => _pipeline.Build();

    Func<string> IConnectionBuilderServices.GetEndpointLabel() => static () => "-";

    void IConnectionBuilderServices.Own(IDisposable resource) =>
        throw new NotSupportedException("This middleware is for accepted connections; it cannot be used for outbound ones.");
}

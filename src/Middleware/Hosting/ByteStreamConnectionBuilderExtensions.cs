using System.Diagnostics.CodeAnalysis;
using ByteStreams;
using ByteStreams.Hosting;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Adds byte-stream handlers to endpoints of the application's own Kestrel.</summary>
public static class ByteStreamConnectionBuilderExtensions
{
    /// <summary>
    /// Adds a handler class as the last connection middleware. Each connection has its own instance in its own dependency-injection scope.
    /// </summary>
    /// <typeparam name="THandler">The class.</typeparam>
    /// <param name="builder">Kestrel's <c>ListenOptions</c>, or any other connection builder.</param>
    /// <param name="limit">The readers' limit in bytes, greater than zero.</param>
    /// <returns>The same builder.</returns>
    /// <exception cref="InvalidOperationException">
    /// The class cannot be created: its constructor needs a service that is not registered. The application does not start.
    /// </exception>
    /// <remarks>On Kestrel's stock transport <see cref="ByteStreamWriter.CanWriteEof"/> is false.</remarks>
    /// <example>
    /// <code>
    /// builder.WebHost.ConfigureKestrel(kestrel =&gt; kestrel.ListenLocalhost(7007, endpoint =&gt; endpoint.UseByteStreamHandler&lt;Echo&gt;()));
    /// </code>
    /// </example>
    public static IConnectionBuilder UseByteStreamHandler<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(
        this IConnectionBuilder builder, int limit = ByteStreamReader.DefaultLimit)
        where THandler : ByteStreamHandler
    {
        ArgumentNullException.ThrowIfNull(builder);
        ByteStreamDelegate handler;
        try
        {
            handler = HandlerActivator.Create<THandler>(builder.ApplicationServices);
        }
        catch (InvalidOperationException impossible) when (EndpointOf(builder) is string endpoint)
        {
            throw new InvalidOperationException($"Endpoint {endpoint}: {impossible.Message}", impossible);
        }

        return UseByteStreamHandler(builder, handler, limit);
    }

    /// <summary>Adds a callback as the last connection middleware.</summary>
    /// <param name="builder">Kestrel's <c>ListenOptions</c>, or any other connection builder.</param>
    /// <param name="clientConnected">Called for each connection.</param>
    /// <param name="limit">The readers' limit in bytes, greater than zero.</param>
    /// <returns>The same builder.</returns>
    public static IConnectionBuilder UseByteStreamHandler(
        this IConnectionBuilder builder, ByteStreamDelegate clientConnected, int limit = ByteStreamReader.DefaultLimit)
    {
        ArgumentNullException.ThrowIfNull(builder);
        var handler = new ByteStreamConnectionHandler(ClusterGate.Add(clientConnected, builder.ApplicationServices), limit, builder.ApplicationServices.GetService<ILoggerFactory>());
        KestrelEndpoint.DisableHttp(builder);
        return builder.Use(_ => handler.OnConnectedAsync);
    }

    private static string? EndpointOf(IConnectionBuilder builder) => builder switch
    {
        ListenOptions listen => listen.EndPoint.ToString(),
        ByteStreamServerOptions options => options.Name,
        _ => null,
    };
}

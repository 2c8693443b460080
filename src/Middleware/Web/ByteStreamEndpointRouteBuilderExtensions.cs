using System.Diagnostics.CodeAnalysis;
using ByteStreams;
using ByteStreams.Hosting;
using ByteStreams.Web;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Microsoft.AspNetCore.Builder;

/// <summary>Adds byte-stream handlers to the application's routing.</summary>
public static class ByteStreamEndpointRouteBuilderExtensions
{
    /// <summary>
    /// Adds a handler class, which serves WebSocket requests (HTTP/1.1 and HTTP/2), <c>POST</c> requests and, with
    /// <see cref="ByteStreamWebOptions.UpgradeToken"/>, HTTP/1.1 <c>Upgrade</c>. Other requests get 426.
    /// </summary>
    /// <typeparam name="THandler">The class; each connection has its own instance.</typeparam>
    /// <param name="endpoints">The application.</param>
    /// <param name="pattern">The route's pattern.</param>
    /// <param name="configure">Sets the options; may be null.</param>
    /// <returns>The route's conventions: authorization, CORS, rate limiting, hosts and metadata.</returns>
    /// <exception cref="InvalidOperationException">The class cannot be created: its constructor needs a service that is not registered.</exception>
    public static IEndpointConventionBuilder MapByteStreamHandler<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(
        this IEndpointRouteBuilder endpoints, [StringSyntax("Route")] string pattern, Action<ByteStreamWebOptions>? configure = null)
        where THandler : ByteStreamHandler
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        return MapByteStreamHandler(endpoints, pattern, HandlerActivator.Create<THandler>(endpoints.ServiceProvider), configure);
    }

    /// <summary>Adds a callback as <see cref="MapByteStreamHandler{THandler}"/> adds a class.</summary>
    /// <param name="endpoints">The application.</param>
    /// <param name="pattern">The route's pattern.</param>
    /// <param name="clientConnected">Called for each connection.</param>
    /// <param name="configure">Sets the options; may be null.</param>
    /// <returns>The route's conventions.</returns>
    public static IEndpointConventionBuilder MapByteStreamHandler(
        this IEndpointRouteBuilder endpoints, [StringSyntax("Route")] string pattern, ByteStreamDelegate clientConnected, Action<ByteStreamWebOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        ArgumentNullException.ThrowIfNull(pattern);
        ArgumentNullException.ThrowIfNull(clientConnected);
        var options = new ByteStreamWebOptions { Server = { ApplicationServices = endpoints.ServiceProvider, Name = pattern } };
        configure?.Invoke(options);
        var endpoint = new WebEndpoint(clientConnected, options, endpoints.ServiceProvider);
        RequestDelegate serve = endpoints.CreateApplicationBuilder().UseWebSockets().Use((RequestDelegate _) => endpoint.ServeAsync).Build();
        return endpoints.Map(pattern, serve);
    }
}

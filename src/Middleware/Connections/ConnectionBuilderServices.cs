using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>
/// What middleware needs of the builder it is added to: <see cref="IConnectionBuilderServices"/> where the builder is of this library, else the
/// application's services.
/// </summary>
internal static class ConnectionBuilderServices
{
    public static ILoggerFactory LoggerFactory(this IConnectionBuilder builder) =>
        (builder as IConnectionBuilderServices)?.LoggerFactory
        ?? DefaultLogging.For(builder.ApplicationServices);

    public static ILogger Logger(this IConnectionBuilder builder, string category) => builder.LoggerFactory().CreateLogger(category);

    public static TimeProvider Time(this IConnectionBuilder builder) =>
        (builder as IConnectionBuilderServices)?.TimeProvider
        ?? builder.ApplicationServices.GetService<TimeProvider>()
        ?? TimeProvider.System;

    public static string? EndpointName(this IConnectionBuilder builder) => (builder as IConnectionBuilderServices)?.EndpointName;

    public static string? HandlerName(this IConnectionBuilder builder) => (builder as IConnectionBuilderServices)?.HandlerName;

    /// <summary>
    /// The endpoint's name in metrics. Never an address of the connection: a client chooses that, by a PROXY header or by connecting to any
    /// address of a listener on all of them.
    /// </summary>
    public static Func<string> EndpointLabel(this IConnectionBuilder builder) => builder switch
    {
        IConnectionBuilderServices own => own.GetEndpointLabel(),
        ListenOptions listen => () => LogText.Of(listen.EndPoint),
        _ => () => "-",
    };

    /// <summary>
    /// Disposes a resource together with the server, or with the application: an endpoint of the application's own Kestrel has no end of its own.
    /// </summary>
    public static void Own(this IConnectionBuilder builder, IDisposable resource)
    {
        if (builder is IConnectionBuilderServices own)
        {
            own.Own(resource);
        }
        else
        {
            builder.ApplicationServices.GetService<IHostApplicationLifetime>()?.ApplicationStopped.Register(resource.Dispose);
        }
    }
}

using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>What middleware needs of the builder it is added to: this library's options carry it, others have it in their services.</summary>
internal static class ConnectionBuilderServices
{
    public static ILoggerFactory LoggerFactory(this IConnectionBuilder builder) =>
        (builder as ByteStreamServerOptions)?.LoggerFactory
        ?? DefaultLogging.For(builder.ApplicationServices);

    public static ILogger Logger(this IConnectionBuilder builder, string category) => builder.LoggerFactory().CreateLogger(category);

    public static TimeProvider Time(this IConnectionBuilder builder) =>
        (builder as ByteStreamServerOptions)?.TimeProvider
        ?? builder.ApplicationServices.GetService<TimeProvider>()
        ?? TimeProvider.System;

    public static string? EndpointName(this IConnectionBuilder builder) => (builder as ByteStreamServerOptions)?.Name;

    /// <summary>
    /// The endpoint's name in metrics where it has none of its own: the addresses that are listened on, known once they are bound. Never an
    /// address of the connection: a client chooses it, by a PROXY header or by connecting to any address of a listener on all of them.
    /// </summary>
    public static Func<string> EndpointLabel(this IConnectionBuilder builder) => builder switch
    {
        ByteStreamServerOptions { Name: string name } => () => name,
        ByteStreamServerOptions { BuiltFor: ByteStreamServer server } => () => server.Label,
        ListenOptions listen => () => LogText.Of(listen.EndPoint),
        _ => () => "-",
    };
}

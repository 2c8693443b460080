using Microsoft.AspNetCore.Connections;
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
}

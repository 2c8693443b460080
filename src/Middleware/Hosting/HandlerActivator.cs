using System.Diagnostics.CodeAnalysis;
using ByteStreams.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>Makes a handler of a class for each connection, in a scope of its own; both are disposed when the handler has returned.</summary>
internal static class HandlerActivator
{
    /// <exception cref="InvalidOperationException">The class can never be made: a service is missing, or it has no accessible constructor.</exception>
    public static ByteStreamDelegate Create<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(
        IServiceProvider services)
        where THandler : ByteStreamHandler
    {
        HandlerDependencies.Check(typeof(THandler), services);
        IServiceScopeFactory scopes = services.GetRequiredService<IServiceScopeFactory>();
        ObjectFactory<THandler> make = ActivatorUtilities.CreateFactory<THandler>([]);
        if (NeedsNoScope<THandler>(services))
        {
            return (reader, writer, stopping) => make(services, []).OnConnectedAsync(reader, writer, stopping);
        }

        return (reader, writer, stopping) =>
        {
            // The scope lives as long as the handler's task, whose frame is the runner's: it disposes the scope.
            var scope = new HandlerScope<THandler>(scopes.CreateAsyncScope(), make);
            ConnectionState.Get(writer.Transport!)!.HandlerScope = scope;
            return scope.ServeAsync(reader, writer, stopping);
        };
    }

    /// <summary>
    /// Whether a scope would make no difference: the class takes no services, is not disposable and is not registered. An empty scope would be 170
    /// bytes of each idle connection.
    /// </summary>
    private static bool NeedsNoScope<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(IServiceProvider services) =>
        typeof(THandler).GetConstructors() is [{ } only] && only.GetParameters().Length == 0
        && !typeof(IDisposable).IsAssignableFrom(typeof(THandler)) && !typeof(IAsyncDisposable).IsAssignableFrom(typeof(THandler))
        && services.GetService<IServiceProviderIsService>() is { } known && !known.IsService(typeof(THandler));
}

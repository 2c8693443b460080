using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>Makes a handler class for each connection, in a scope of its own, and disposes both with it.</summary>
internal static class HandlerActivator
{
    public static ByteStreamDelegate Create<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(
        IServiceProvider services)
        where THandler : ByteStreamHandler
    {
        IServiceScopeFactory scopes = services.GetRequiredService<IServiceScopeFactory>();
        ObjectFactory<THandler> make = ActivatorUtilities.CreateFactory<THandler>([]);
        return (reader, writer, stopping) =>
        {
            // The scope ends with the handler's task, and who awaits that task ends it: one asynchronous frame for both.
            var scope = new HandlerScope<THandler>(scopes.CreateAsyncScope(), make);
            writer.HandlerScope = scope;
            return scope.ServeAsync(reader, writer, stopping);
        };
    }
}

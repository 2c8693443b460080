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
        return async (reader, writer, stopping) =>
        {
            AsyncServiceScope scope = scopes.CreateAsyncScope();
            await using (scope.ConfigureAwait(false))
            {
                // The application's own registration wins, and its scope disposes it.
                if (scope.ServiceProvider.GetService<THandler>() is THandler registered)
                {
                    await registered.OnConnectedAsync(reader, writer, stopping).ConfigureAwait(false);
                    return;
                }

                THandler handler = make(scope.ServiceProvider, []);
                try
                {
                    await handler.OnConnectedAsync(reader, writer, stopping).ConfigureAwait(false);
                }
                finally
                {
                    switch (handler)
                    {
                        case IAsyncDisposable asynchronous:
                            await asynchronous.DisposeAsync().ConfigureAwait(false);
                            break;
                        case IDisposable disposable:
                            disposable.Dispose();
                            break;
                    }
                }
            }
        };
    }
}

using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Hosting;

/// <summary>One connection's dependency-injection scope and the handler in it. Disposing it disposes both.</summary>
internal sealed class HandlerScope<THandler>(AsyncServiceScope scope, ObjectFactory<THandler> make) : IAsyncDisposable
    where THandler : ByteStreamHandler
{
    private THandler? _made;

    public Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        // The application's own registration has precedence, and its scope disposes it.
        THandler handler = scope.ServiceProvider.GetService<THandler>() ?? (_made = make(scope.ServiceProvider, []));
        return handler.OnConnectedAsync(reader, writer, stopping);
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            switch (_made)
            {
                case IAsyncDisposable asynchronous:
                    await asynchronous.DisposeAsync().ConfigureAwait(false);
                    break;
                case IDisposable disposable:
                    disposable.Dispose();
                    break;
            }
        }
        finally
        {
            await scope.DisposeAsync().ConfigureAwait(false);
        }
    }
}

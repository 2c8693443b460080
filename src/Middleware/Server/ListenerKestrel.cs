using System.Net;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ByteStreams;

/// <summary>A Kestrel server that accepts from listeners that are bound already, and hands every connection to one delegate.</summary>
internal sealed class ListenerKestrel(
    ConnectionDelegate connected, Func<ConnectionContext, bool> accepted, ILoggerFactory loggerFactory) : IAsyncDisposable
{
    private KestrelServer? _server;

    public async Task StartAsync(IReadOnlyList<IConnectionListener> listeners)
    {
        var options = new KestrelServerOptions { ApplicationServices = NoServices.Instance };
        foreach (IConnectionListener listener in listeners)
        {
            options.Listen(new BoundEndPoint(listener), endPoint =>
            {
                endPoint.Protocols = HttpProtocols.Http1;
                ((IConnectionBuilder)endPoint).Use(_ => connected);
            });
        }

        _server = new KestrelServer(Options.Create(options), new BoundListenerFactory(accepted), loggerFactory);
        await _server.StartAsync(new NoHttp(), CancellationToken.None).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.StopAsync(CancellationToken.None).ConfigureAwait(false);
            _server.Dispose();
        }
    }

    /// <summary>Carries a bound listener through Kestrel's configuration.</summary>
    private sealed class BoundEndPoint(IConnectionListener listener) : EndPoint
    {
        public IConnectionListener Listener => listener;

        public override string ToString() => listener.EndPoint.ToString() ?? nameof(BoundEndPoint);
    }

    private sealed class BoundListenerFactory(Func<ConnectionContext, bool> accepted) : IConnectionListenerFactory, IConnectionListenerFactorySelector
    {
        public bool CanBind(EndPoint endpoint) => endpoint is BoundEndPoint;

        public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
            new(new ObservedListener(((BoundEndPoint)endpoint).Listener, accepted));
    }

    /// <summary>
    /// Tells about each connection before Kestrel schedules it, so that none is overlooked between the two; one that is not taken
    /// is reset, as the kernel does with those that it had not handed over yet.
    /// </summary>
    private sealed class ObservedListener(IConnectionListener inner, Func<ConnectionContext, bool> accepted) : IConnectionListener
    {
        public EndPoint EndPoint => inner.EndPoint;

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (await inner.AcceptAsync(cancellationToken).ConfigureAwait(false) is ConnectionContext connection)
            {
                if (accepted(connection))
                {
                    return connection;
                }

                connection.Abort();
                await connection.DisposeAsync().ConfigureAwait(false);
            }

            return null;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => inner.UnbindAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    /// <summary>Kestrel starts with an HTTP application; no request ever reaches this one.</summary>
    private sealed class NoHttp : IHttpApplication<IFeatureCollection>
    {
        public IFeatureCollection CreateContext(IFeatureCollection contextFeatures) => contextFeatures;

        public void DisposeContext(IFeatureCollection context, Exception? exception)
        {
        }

        public Task ProcessRequestAsync(IFeatureCollection context) => Task.CompletedTask;
    }

    private sealed class NoServices : IServiceProvider
    {
        public static NoServices Instance { get; } = new();

        public object? GetService(Type serviceType) => null;
    }
}

using System.Net;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ByteStreams.Server;

/// <summary>
/// The Kestrel server of all byte-stream servers that log to one factory, and so of all endpoints of a host. It has one listener, which
/// yields what the accept loops of the servers deliver: a Kestrel server has a timer thread, and its endpoints are fixed at its start.
/// </summary>
internal sealed class ListenerKestrel : IAsyncDisposable
{
    private static readonly Dictionary<ILoggerFactory, ListenerKestrel> Running = new(ReferenceEqualityComparer.Instance);

    private readonly ILoggerFactory _loggerFactory;
    private readonly DeliveredConnections _delivered = new();
    private readonly Lazy<Task> _starting;
    private readonly IDisposable _bufferLog;
    private KestrelServer? _server;
    private int _users;

    private ListenerKestrel(ILoggerFactory loggerFactory)
    {
        _loggerFactory = loggerFactory;
        _bufferLog = BufferLimit.Process.LogTo(loggerFactory.CreateLogger("ByteStreams.Transport"));
        _starting = new Lazy<Task>(StartAsync);
    }

    /// <summary>The running server of a logger factory; the first caller starts it.</summary>
    /// <returns>The server, which runs until each caller has called <see cref="DisposeAsync"/>.</returns>
    public static async Task<ListenerKestrel> AcquireAsync(ILoggerFactory loggerFactory)
    {
        ListenerKestrel? kestrel;
        lock (Running)
        {
            if (!Running.TryGetValue(loggerFactory, out kestrel))
            {
                Running[loggerFactory] = kestrel = new ListenerKestrel(loggerFactory);
            }

            kestrel._users++;
        }

        try
        {
            await kestrel._starting.Value.ConfigureAwait(false);
            return kestrel;
        }
        catch
        {
            await kestrel.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Ends one caller's use. The last one stops the server; by then no connection is left.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (Running)
        {
            if (--_users > 0)
            {
                return;
            }

            Running.Remove(_loggerFactory);
        }

        _bufferLog.Dispose();

        if (_server is not null)
        {
            await _server.StopAsync(CancellationToken.None).ConfigureAwait(false);
            _server.Dispose();
        }
    }

    /// <summary>Hands a connection to Kestrel, which queues it to the thread pool before this returns or soon after. Callable from any thread.</summary>
    /// <param name="connection">A connection with a <see cref="ConnectionState"/>, whose server serves it.</param>
    public void Deliver(ConnectionContext connection) => _delivered.Add(connection);

    private Task StartAsync()
    {
        var options = new KestrelServerOptions { ApplicationServices = NoServices.Instance };
        options.Listen(_delivered.EndPoint, endPoint =>
        {
            endPoint.Protocols = HttpProtocols.Http1;
            ((IConnectionBuilder)endPoint).Use(_ => static context => Serve(context));
        });
        _server = new KestrelServer(Options.Create(options), _delivered, new ScopelessLoggerFactory(_loggerFactory));
        return _server.StartAsync(new NoHttp(), CancellationToken.None);
    }

    private static Task Serve(ConnectionContext context)
    {
        ConnectionState connection = ConnectionState.Get(context)!;
        return connection.Owner!.ServeAsync(connection);
    }

    /// <summary>Kestrel's transport: its only listener accepts what is delivered.</summary>
    private sealed class DeliveredConnections : IConnectionListenerFactory, IConnectionListenerFactorySelector, IConnectionListener
    {
        // Kestrel's accept loop runs inline where a connection is delivered, which saves a thread switch for each. While it runs, further
        // ones are queued for it. It only queues them to the thread pool.
        private readonly Channel<ConnectionContext> _connections = Channel.CreateUnbounded<ConnectionContext>(
            new UnboundedChannelOptions { SingleReader = true, AllowSynchronousContinuations = true });

        public EndPoint EndPoint { get; } = new DeliveredEndPoint();

        public void Add(ConnectionContext connection) => _connections.Writer.TryWrite(connection);

        public bool CanBind(EndPoint endpoint) => endpoint is DeliveredEndPoint;

        public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) => new(this);

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            ConnectionContext? connection;
            while (!_connections.Reader.TryRead(out connection) && await _connections.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
            {
            }

            return connection;
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            _connections.Writer.TryComplete();
            return default;
        }

        public ValueTask DisposeAsync() => UnbindAsync();
    }

    private sealed class DeliveredEndPoint : EndPoint
    {
        public override string ToString() => "byte streams";
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

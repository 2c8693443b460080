using System.Collections;
using System.Globalization;
using System.Net;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Connections;

/// <summary>
/// What the server and the built-in middleware keep of one accepted connection: one object, a feature of the connection. The server makes it
/// at accept; if no server of this library accepts, the outermost built-in middleware creates it. The creator runs
/// <see cref="ConnectionRunner"/>.
/// </summary>
/// <remarks>
/// Each part is written by its owner only, as its comment says. Other threads hold this object and not the connection's feature collection,
/// which is not thread-safe. As the log scope of the handler it is a list of three properties.
/// </remarks>
internal sealed class ConnectionState : IConnectionLifetimeNotificationFeature, IReadOnlyList<KeyValuePair<string, object?>>
{
    private readonly ConnectionContext _connection;
    private readonly IConnectionOwner? _owner;
    private volatile IConnectionLifetimeNotificationFeature? _notification;
    private volatile ByteStreamWriter? _writer;
    private ConnectionResource? _resources;
    private ConnectionMetadata? _metadata;
    private volatile bool _isServed;
    private volatile bool _skipsLinger;

    /// <summary>The state of a connection that a server of this library accepted.</summary>
    public ConnectionState(ChannelConnection connection, IConnectionOwner owner, long began)
    {
        _connection = connection;
        _owner = owner;
        Began = began;
        ((IFeatureCollection)connection).Set(this);
    }

    private ConnectionState(ConnectionContext connection)
    {
        _connection = connection;
        if (connection.Features.Get<IByteStreamTransportFeature>() is IByteStreamTransportFeature link && link != connection)
        {
            EnsureMetadata().Link = link;
        }

        connection.Features.Set(this);
    }

    /// <summary>The connection. Its members belong to the thread that serves it, except for those of <see cref="Link"/>.</summary>
    public ConnectionContext Connection => _connection;

    /// <summary>The transport's part of the connection; null on another transport until <see cref="EnsureLink"/>.</summary>
    public IByteStreamTransportFeature? Link => Metadata?.Link ?? Channel;

    /// <summary>The clock's timestamp of the accept; on another transport, of the first middleware that has a clock.</summary>
    public long Began { get; set; }

    // Server: the links are guarded by its lock.

    /// <summary>The server that accepted the connection; null on another transport.</summary>
    public IConnectionOwner? Owner => _owner;

    /// <summary>The connection as it was accepted, before any middleware; null on another transport.</summary>
    public ChannelConnection? Channel => _connection as ChannelConnection;

    /// <summary>The links of the server's list.</summary>
    public ConnectionLinks OwnerLinks;

    // Telemetry: the links are guarded by the lock of the endpoint's counters.

    /// <summary>What reports the connection; null without telemetry.</summary>
    public ConnectionReporter? Reporter { get; set; }

    /// <summary>The position of the connection in the order of all connections of the process, from 1.</summary>
    public long Number { get; set; }

    /// <summary>The links of the endpoint's list.</summary>
    public ConnectionLinks EndpointLinks;

    // Timeouts.

    /// <summary>What the heartbeat sees of the connection; null where nothing is timed.</summary>
    public IIdleTime? Timeouts { get; set; }

    // Handler.

    /// <summary>Whether the runner completes the handler, because no middleware in between has work after it.</summary>
    public bool CompletesHandler { get; set; }

    /// <summary>The handler that was called; null before.</summary>
    public ByteStreamConnectionHandler? Handler { get; set; }

    /// <summary>The handler's writer; null before the handler was called.</summary>
    public ByteStreamWriter? Writer
    {
        get => _writer;
        set => _writer = value;
    }

    /// <summary>The handler's log scope; null where nothing is logged.</summary>
    public IDisposable? LogScope { get; set; }

    /// <summary>The handler's dependency-injection scope, disposed when the handler has returned; null where it has none.</summary>
    public IAsyncDisposable? HandlerScope { get; set; }

    // Rare.

    /// <summary>What only some connections have; null where this one has none of it.</summary>
    public ConnectionMetadata? Metadata => Volatile.Read(ref _metadata);

    /// <summary>The address of the peer, without regard to a PROXY header.</summary>
    public EndPoint? Peer => Metadata?.Proxy is ProxyMetadata proxy ? proxy.ProxyEndPoint
        // Asked of the socket and not cached: the address is 72 bytes, and most connections are never asked.
        : Channel is { HasRemoteEndPoint: false } channel ? channel.SocketPeer
        : _connection.RemoteEndPoint;

    /// <summary>The token that fires when the server wants the connection to end; none where it has no such token.</summary>
    public CancellationToken Stopping =>
        _connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested ?? CancellationToken.None;

    CancellationToken IConnectionLifetimeNotificationFeature.ConnectionClosedRequested
    {
        get => _notification?.ConnectionClosedRequested ?? CancellationToken.None;
        set => throw new NotSupportedException("ConnectionClosedRequested belongs to the server.");
    }

    int IReadOnlyCollection<KeyValuePair<string, object?>>.Count => 3;

    KeyValuePair<string, object?> IReadOnlyList<KeyValuePair<string, object?>>.this[int index] => ScopeProperty(index);

    /// <summary>The state of a connection; null where it has none yet.</summary>
    public static ConnectionState? Get(ConnectionContext connection) => connection.Features.Get<ConnectionState>();

    /// <summary>Makes the state of a connection that no server of this library accepted.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="completesHandler">See <see cref="CompletesHandler"/>.</param>
    public static ConnectionState Create(ConnectionContext connection, bool completesHandler) =>
        new(connection) { CompletesHandler = completesHandler };

    /// <summary>The transport's part of the connection, added over another transport.</summary>
    public IByteStreamTransportFeature EnsureLink() => Link ?? (EnsureMetadata().Link = ConnectionLink.Of(_connection));

    /// <summary>The metadata, to set a value in it. For the thread that serves the connection.</summary>
    public ConnectionMetadata EnsureMetadata()
    {
        if (_metadata is null)
        {
            Volatile.Write(ref _metadata, new ConnectionMetadata());
        }

        return _metadata!;
    }

    /// <summary>The resource that was added last.</summary>
    public ConnectionResource? LastResource => _resources;

    /// <summary>Adds what has to be released when the connection has closed.</summary>
    public void Add(ConnectionResource resource)
    {
        if (_resources is not null)
        {
            // A resource that connections share is the earliest of each, and is never written to.
            resource.Earlier = _resources;
        }

        _resources = resource;
    }

    /// <summary>Releases what was added, the last first.</summary>
    public void ReleaseResources()
    {
        while (_resources is ConnectionResource last)
        {
            _resources = last.Earlier;
            last.Release();
        }
    }

    /// <summary>
    /// Takes the place of Kestrel's own notification: nearly every read waits with that token, and a call from here in place of a registration saves
    /// 144 bytes of each idle connection.
    /// </summary>
    public void TakeNotification(ChannelConnection connection)
    {
        IFeatureCollection features = connection;
        if (features.Get<IConnectionLifetimeNotificationFeature>() is IConnectionLifetimeNotificationFeature notification)
        {
            connection.WillCancelReads(notification.ConnectionClosedRequested);
            _notification = notification;
            features.Set<IConnectionLifetimeNotificationFeature>(this);
        }
    }

    /// <summary>Fires the handler's stopping token. Callable from any thread.</summary>
    public void RequestClose()
    {
        if (_notification is not IConnectionLifetimeNotificationFeature notification)
        {
            return;
        }

        try
        {
            notification.RequestClose();
        }
        finally
        {
            // Also where a registration has thrown. After the request, so that a read that begins now sees the token.
            Channel?.CancelRead(notification.ConnectionClosedRequested);
        }
    }

    /// <summary>As <see cref="RequestClose()"/>. An exception of a callback is logged, so that other connections are requested as well.</summary>
    public void RequestClose(ILogger logger)
    {
        try
        {
            RequestClose();
        }
        catch (AggregateException error)
        {
            ConnectionLog.StoppingCallbackFailed(logger, error, _connection.ConnectionId);
        }
    }

    /// <summary>Notes that the handler has returned. Returns whether the server closes as well, and waits for no linger.</summary>
    public bool OnServed()
    {
        _isServed = true;
        Interlocked.MemoryBarrier();
        return _skipsLinger;
    }

    /// <summary>Notes that the server closes. Returns whether the handler has returned: the server waits for the handler, and not for a linger after it.</summary>
    public bool SkipLinger()
    {
        _skipsLinger = true;
        Interlocked.MemoryBarrier();
        return _isServed;
    }

    /// <summary>Closes the connection as the handler's writer does. Callable from any thread.</summary>
    public void Close()
    {
        if (_writer is ByteStreamWriter writer)
        {
            writer.Close();
        }
        else
        {
            Link?.Close();
        }
    }

    /// <summary>Whether the connection has this id. A connection whose id was never read is not given one.</summary>
    public bool HasId(string id) =>
        _connection is not ChannelConnection { HasConnectionId: false } && string.Equals(_connection.ConnectionId, id, StringComparison.Ordinal);

    IEnumerator<KeyValuePair<string, object?>> IEnumerable<KeyValuePair<string, object?>>.GetEnumerator()
    {
        for (int i = 0; i < 3; i++)
        {
            yield return ScopeProperty(i);
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<KeyValuePair<string, object?>>)this).GetEnumerator();

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"ConnectionId:{ScopeProperty(0).Value} Endpoint:{ScopeProperty(1).Value} Peer:{ScopeProperty(2).Value}");

    private KeyValuePair<string, object?> ScopeProperty(int index) => index switch
    {
        0 => new("ConnectionId", _connection.ConnectionId),
        1 => new("Endpoint", Handler?.EndpointName ?? _connection.LocalEndPoint?.ToString()),
        2 => new("Peer", _connection.RemoteEndPoint?.ToString()),
        _ => throw new ArgumentOutOfRangeException(nameof(index)),
    };
}

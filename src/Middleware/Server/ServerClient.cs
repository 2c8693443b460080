using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// One client as its server reaches it from other threads; linked with the server's others. The connection's feature collection
/// belongs to the thread that serves it and is not safe beside it, so what others need is kept here; the handler finds this object there.
/// </summary>
internal sealed class ServerClient : IConnectionLifetimeNotificationFeature
{
    // As it was accepted: what lies over it since then is the handler's.
    private readonly ChannelConnection _connection;
    private volatile ByteStreamWriter? _writer;
    private volatile IConnectionLifetimeNotificationFeature? _notification;
    private volatile bool _served;
    private volatile bool _serverCloses;

    private readonly ByteStreamServer _server;

    public ServerClient(ByteStreamServer server, ChannelConnection connection, long began)
    {
        _server = server;
        Began = began;
        _connection = connection;
        connection.Features.Set(this);
    }

    public ChannelConnection Connection => _connection;

    /// <summary>Serves the connection as its server does at this moment.</summary>
    public Task ServeAsync() => _server.ServeAsync(_connection);

    /// <summary>When it was accepted: the clock's timestamp.</summary>
    public long Began { get; }

    public long BytesReceived => _connection.BytesReceived;

    public long BytesSent => _connection.BytesSent;

    /// <summary>Set by the handler, when it has made the pair.</summary>
    public ByteStreamWriter? Writer
    {
        set => _writer = value;
    }

    /// <summary>Fires when the server wants the connection to end: Kestrel's own token, which handlers are given.</summary>
    public CancellationToken ConnectionClosedRequested
    {
        get => _notification?.ConnectionClosedRequested ?? default;
        set => throw new NotSupportedException("ConnectionClosedRequested belongs to the server.");
    }

    /// <summary>The one that was accepted before it, of those that are there. The server's lock is that of the list.</summary>
    public ServerClient? Previous { get; set; }

    /// <summary>The one that was accepted after it.</summary>
    public ServerClient? Next { get; set; }

    /// <summary>
    /// Kestrel has taken the connection over. From here on this stands before its notification: nearly every read waits with that token,
    /// and to be called from here instead of by a registration saves 144 bytes of each idle connection.
    /// </summary>
    public void Begin()
    {
        IFeatureCollection features = _connection.Features;
        if (features.Get<IConnectionLifetimeNotificationFeature>() is IConnectionLifetimeNotificationFeature notification)
        {
            _connection.WillCancelReads(notification.ConnectionClosedRequested);
            _notification = notification;
            features.Set<IConnectionLifetimeNotificationFeature>(this);
        }
    }

    /// <summary>Tells the handler that the server wants the connection to end.</summary>
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
            // Whatever somebody's registration has thrown. Behind the request: a read that begins now sees the token.
            _connection.CancelRead(notification.ConnectionClosedRequested);
        }
    }

    /// <summary>The handler has returned and the connection closes. Returns whether the server closes too, and waits for no linger.</summary>
    public bool Served()
    {
        _served = true;
        Interlocked.MemoryBarrier();
        return _serverCloses;
    }

    /// <summary>The server closes. Returns whether the handler has returned: the server waits for the handler, and not for the linger after it.</summary>
    public bool EndLinger()
    {
        _serverCloses = true;
        Interlocked.MemoryBarrier();
        return _served;
    }

    /// <summary>As <see cref="RequestClose()"/>. What the handler's own callbacks throw is logged: it must not keep others from being requested.</summary>
    public void RequestClose(ILogger logger)
    {
        try
        {
            RequestClose();
        }
        catch (AggregateException error)
        {
            ServerLog.StoppingCallbackFailed(logger, error, _connection.ConnectionId);
        }
    }

    public void Close()
    {
        if (_writer is ByteStreamWriter writer)
        {
            writer.Close();
        }
        else
        {
            _connection.Close();
        }
    }

    public void Abort(ConnectionEndReason reason, Exception cause) => _connection.Abort(reason, cause);
}

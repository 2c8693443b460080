using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams;

/// <summary>
/// One client as its server reaches it from other threads. The connection's feature collection belongs to the thread that serves
/// it and is not safe beside it, so what others need is kept here; the handler finds this object there.
/// </summary>
internal sealed class ServerClient
{
    private readonly IByteStreamTransportFeature? _transport;
    private volatile ByteStreamWriter? _writer;
    private volatile IConnectionLifetimeNotificationFeature? _notification;

    public ServerClient(ConnectionContext connection, long began)
    {
        Began = began;
        _transport = connection.Features.Get<IByteStreamTransportFeature>();
        connection.Features.Set(this);
    }

    /// <summary>When it was accepted: the clock's timestamp.</summary>
    public long Began { get; }

    public long BytesReceived => _transport?.BytesReceived ?? 0;

    public long BytesSent => _transport?.BytesSent ?? 0;

    /// <summary>Set by the handler, when it has made the pair.</summary>
    public ByteStreamWriter? Writer
    {
        set => _writer = value;
    }

    /// <summary>Set when Kestrel has taken the connection over.</summary>
    public IConnectionLifetimeNotificationFeature? Notification
    {
        set => _notification = value;
    }

    /// <summary>Tells the handler that the server wants the connection to end.</summary>
    public void RequestClose() => _notification?.RequestClose();

    public void Close()
    {
        if (_writer is ByteStreamWriter writer)
        {
            writer.Close();
        }
        else
        {
            _transport?.Close();
        }
    }

    public void Abort(ConnectionEndReason reason, Exception cause) => _transport?.Abort(reason, cause);
}

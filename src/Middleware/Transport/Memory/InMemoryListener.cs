using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport.Memory;

/// <summary>Accepts connections from this process.</summary>
internal sealed class InMemoryListener : IBoundListener
{
    private static readonly ConcurrentDictionary<InMemoryEndPoint, InMemoryListener> Listeners = new();
    private static long _clientNumber;

    private readonly InMemoryEndPoint _endPoint;
    private readonly ByteStreamTransportOptions _options;
    private readonly Channel<ConnectionContext> _arrived;
    private volatile bool _listens;

    private InMemoryListener(InMemoryEndPoint endPoint, ByteStreamListenOptions options)
    {
        _endPoint = endPoint;
        _options = options;
        _arrived = Channel.CreateBounded<ConnectionContext>(options.Backlog);
    }

    public EndPoint EndPoint => _endPoint;

    public ListenAddress Address => new(_endPoint, IsDualMode: false);

    public bool IsReachable => true;

    public static InMemoryListener Bind(InMemoryEndPoint endPoint, ByteStreamListenOptions options)
    {
        var listener = new InMemoryListener(endPoint, options);
        return Listeners.TryAdd(endPoint, listener)
            ? listener
            : throw new AddressInUseException($"{endPoint} is already in use: another server of this process listens on it.");
    }

    public static async ValueTask<ConnectionContext> ConnectAsync(
        InMemoryEndPoint endPoint, ByteStreamTransportOptions options, CancellationToken cancellationToken)
    {
        if (!Listeners.TryGetValue(endPoint, out InMemoryListener? listener) || !listener._listens)
        {
            throw Refused(endPoint);
        }

        (InMemoryChannel near, InMemoryChannel far) = InMemoryChannel.CreatePair();
        var client = new InMemoryEndPoint($"client-{Interlocked.Increment(ref _clientNumber)}");
        try
        {
            await listener._arrived.Writer
                .WriteAsync(new ChannelConnection(far, endPoint, client, listener._options), cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelClosedException)
        {
            throw Refused(endPoint);
        }

        return new ChannelConnection(near, client, endPoint, options);
    }

    public void Listen() => _listens = true;

    public Task EmptyAsync(TimeSpan within)
    {
        // Connections that have arrived are accepted after the unbind too.
        return Task.CompletedTask;
    }

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (await _arrived.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            if (_arrived.Reader.TryRead(out ConnectionContext? connection))
            {
                return connection;
            }
        }

        return null;
    }

    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        Listeners.TryRemove(new KeyValuePair<InMemoryEndPoint, InMemoryListener>(_endPoint, this));
        _arrived.Writer.TryComplete();
        return default;
    }

    public async ValueTask DisposeAsync()
    {
        await UnbindAsync().ConfigureAwait(false);
        while (_arrived.Reader.TryRead(out ConnectionContext? connection))
        {
            connection.Abort();
        }
    }

    /// <summary>The exception of the socket transports, so that a client needs no knowledge of its transport.</summary>
    private static SocketException Refused(InMemoryEndPoint endPoint) =>
        new((int)SocketError.ConnectionRefused, $"No server listens on {endPoint}.");
}

using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Memory;
using ByteStreams.Transport.Sockets;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Server;

/// <summary>
/// The listeners of one server. A reload of a host's endpoints moves them between servers (<see cref="Adopt"/>, <see cref="Forget"/>).
/// Thread-safe.
/// </summary>
/// <param name="options">The server's options.</param>
/// <param name="connections">Takes what is accepted.</param>
/// <param name="logger">The server's logger.</param>
internal sealed class ServerListeners(ByteStreamServerOptions options, ServerConnections connections, ILogger logger)
{
    private readonly Lock _gate = new();
    private readonly List<AcceptLoop> _loops = [];
    private IReadOnlyList<EndPoint> _endPoints = [];
    private string _addresses = "-";
    private ListenerKestrel? _kestrel;
    private bool _isUnbound;

    /// <summary>The announced addresses, each with its real port.</summary>
    public IReadOnlyList<EndPoint> EndPoints
    {
        get
        {
            lock (_gate)
            {
                return _endPoints;
            }
        }
    }

    /// <summary>The announced addresses as one text; <c>-</c> before the first.</summary>
    public string Addresses => Volatile.Read(ref _addresses);

    /// <summary>The listeners, also those that are not announced; none after <see cref="Unbind"/>.</summary>
    public IReadOnlyList<AcceptLoop> Loops
    {
        get
        {
            lock (_gate)
            {
                return _isUnbound ? [] : [.. _loops];
            }
        }
    }

    /// <summary>Binds a listener.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="ipv6Only">Does not take IPv4 on <c>[::]</c>, whatever the options say.</param>
    /// <param name="shared">Whether another listener of this process overlaps with it for now and shares the port.</param>
    /// <exception cref="IOException">It cannot be bound.</exception>
    public AcceptLoop Bind(EndPoint endPoint, bool ipv6Only, bool shared)
    {
        IBoundListener listener = endPoint switch
        {
            InMemoryEndPoint memory => InMemoryListener.Bind(memory, options),
            IPEndPoint or UnixDomainSocketEndPoint => SocketListener.Bind(endPoint, options, logger, ipv6Only: ipv6Only, shared: shared),
            _ => throw new NotSupportedException(
                $"Cannot listen on a {endPoint.GetType().Name}; use an IPEndPoint, a UnixDomainSocketEndPoint or an InMemoryEndPoint."),
        };
        return Add(listener, endPoint);
    }

    /// <summary>Takes a socket that is bound already.</summary>
    public AcceptLoop Bind(Socket socket)
    {
        SocketListener listener = SocketListener.Adopt(socket, options, logger);
        return Add(listener, listener.EndPoint);
    }

    /// <summary>Listens on all that is bound. Clients wait in the kernel's queues until they are accepted. A second call does nothing.</summary>
    /// <exception cref="IOException">Another program has taken an address since it was bound.</exception>
    public async Task ListenAsync()
    {
        _kestrel ??= await ListenerKestrel.AcquireAsync(options.LoggerFactory).ConfigureAwait(false);
        foreach (AcceptLoop loop in Loops)
        {
            loop.Listen();
        }
    }

    /// <summary>Accepts clients, after <see cref="ListenAsync"/>. A second call does nothing.</summary>
    public void Accept()
    {
        foreach (AcceptLoop loop in Loops)
        {
            loop.Start();
        }
    }

    /// <summary>Takes a listener over from another server, which forgets it next. It accepts for this server from now on.</summary>
    public void Adopt(AcceptLoop loop)
    {
        Add(loop);
        loop.HandOver(this);
    }

    /// <summary>Removes a listener that another server has taken over, or that is closed.</summary>
    public void Forget(AcceptLoop loop)
    {
        lock (_gate)
        {
            _loops.Remove(loop);
            Announce();
        }
    }

    /// <summary>Takes a connection that was accepted. Returns false after the server's close.</summary>
    public bool TryTake(ConnectionContext connection)
    {
        if (!connections.TryAdd(connection))
        {
            return false;
        }

        _kestrel!.Deliver(connection);
        return true;
    }

    /// <summary>Stops listening.</summary>
    public void Unbind()
    {
        AcceptLoop[] loops;
        lock (_gate)
        {
            loops = [.. _loops];
            _isUnbound = true;
        }

        foreach (AcceptLoop loop in loops)
        {
            loop.Unbind();
        }
    }

    /// <summary>Waits for the end of the accept loops, after <see cref="Unbind"/>, and releases Kestrel.</summary>
    public async Task EndAsync()
    {
        AcceptLoop[] loops;
        lock (_gate)
        {
            loops = [.. _loops];
        }

        await Task.WhenAll(loops.Select(loop => loop.Completion)).ConfigureAwait(false);
        if (_kestrel is not null)
        {
            await _kestrel.DisposeAsync().ConfigureAwait(false);
        }
    }

    private AcceptLoop Add(IBoundListener listener, EndPoint requested)
    {
        var loop = new AcceptLoop(listener, requested, this, logger);
        Add(loop);
        return loop;
    }

    private void Add(AcceptLoop loop)
    {
        lock (_gate)
        {
            _loops.Add(loop);
            Announce();
        }
    }

    private void Announce()
    {
        _endPoints = [.. _loops.Where(loop => loop.Role == AcceptLoopRole.Announced).Select(loop => loop.EndPoint)];
        Volatile.Write(ref _addresses, string.Join(", ", _endPoints.Select(LogText.Of)));
    }
}

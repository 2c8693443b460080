using System.Net;
using System.Net.Sockets;
using ByteStreams.Telemetry;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams;

/// <content>Its listeners. A reload of a host's endpoints moves them between servers (<see cref="Adopt"/>, <see cref="Forget"/>).</content>
public sealed partial class ByteStreamServer
{
    private readonly List<AcceptLoop> _loops = [];
    private IReadOnlyList<EndPoint> _endPoints = [];
    private string _addresses = "-";
    private ListenerKestrel? _kestrel;

    /// <summary>The addresses listened on, each with its real port; empty once closed.</summary>
    public IReadOnlyList<EndPoint> EndPoints
    {
        get
        {
            lock (_gate)
            {
                return _isClosed ? [] : _endPoints;
            }
        }
    }

    /// <summary>The listeners, also those that are not announced; none once closed.</summary>
    internal IReadOnlyList<AcceptLoop> Loops
    {
        get
        {
            lock (_gate)
            {
                return _isClosed ? [] : [.. _loops];
            }
        }
    }

    /// <summary>A server without listeners, for <see cref="Bind(EndPoint, bool, bool)"/> and <see cref="Adopt"/>.</summary>
    /// <exception cref="ArgumentException">The options are not valid.</exception>
    internal static ByteStreamServer Create(ByteStreamDelegate clientConnected, ByteStreamServerOptions options)
    {
        var server = new ByteStreamServer(clientConnected, options.Snapshot());
        server._lease = new EndpointLease(ByteStreamMetrics.Of(server._options), server.Label);
        return server;
    }

    /// <summary>Binds a listener of its own.</summary>
    /// <param name="endPoint">The address.</param>
    /// <param name="ipv6Only">Leaves IPv4 alone on <c>[::]</c>, whatever the options say.</param>
    /// <param name="shared">Whether another listener of this process overlaps with it for now and shares the port.</param>
    /// <exception cref="IOException">It cannot be bound.</exception>
    internal AcceptLoop Bind(EndPoint endPoint, bool ipv6Only, bool shared)
    {
        IBoundListener listener = endPoint switch
        {
            InMemoryEndPoint memory => InMemoryListener.Bind(memory, _options),
            IPEndPoint or UnixDomainSocketEndPoint => SocketListener.Bind(endPoint, _options, _logger, ipv6Only: ipv6Only, shared: shared),
            _ => throw new NotSupportedException(
                $"Nothing listens on a {endPoint.GetType().Name}; use an IPEndPoint, a UnixDomainSocketEndPoint or an InMemoryEndPoint."),
        };
        return Add(listener, endPoint);
    }

    /// <summary>Takes a socket that is bound already.</summary>
    internal AcceptLoop Bind(Socket socket)
    {
        SocketListener listener = SocketListener.Adopt(socket, _options, _logger);
        return Add(listener, listener.EndPoint);
    }

    /// <summary>Listens on all that is bound. Clients wait in the kernel's queues until they are accepted. Twice is fine.</summary>
    /// <exception cref="IOException">Another program has taken an address since it was bound.</exception>
    internal async Task ListenAsync()
    {
        _kestrel ??= await ListenerKestrel.AcquireAsync(_options.LoggerFactory).ConfigureAwait(false);
        foreach (AcceptLoop loop in Loops)
        {
            loop.Listen();
        }
    }

    /// <summary>Accepts clients from all that listens, after <see cref="ListenAsync"/>.</summary>
    internal void Accept()
    {
        lock (_gate)
        {
            _starting ??= Task.CompletedTask;
        }

        foreach (AcceptLoop loop in Loops)
        {
            loop.Start();
        }
    }

    /// <summary>Takes a listener over from another server, which forgets it next. What it accepts from now on is this server's.</summary>
    internal void Adopt(AcceptLoop loop)
    {
        Add(loop);
        loop.HandOver(this);
    }

    /// <summary>Another server has the listener now, or it is closed.</summary>
    internal void Forget(AcceptLoop loop)
    {
        lock (_gate)
        {
            _loops.Remove(loop);
            Announce();
        }
    }

    /// <summary>Takes a client that was accepted.</summary>
    /// <returns>False if the close has overtaken it.</returns>
    internal bool TryTake(ConnectionContext connection)
    {
        if (!TryAdd(connection))
        {
            return false;
        }

        _kestrel!.Deliver(connection);
        return true;
    }

    private AcceptLoop Add(IBoundListener listener, EndPoint requested)
    {
        var loop = new AcceptLoop(listener, requested, this, _logger);
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
        _addresses = string.Join(", ", _endPoints.Select(LogText.Of));
    }

    private void BindAll(IReadOnlyList<EndPoint> endPoints, IReadOnlyList<Socket> sockets)
    {
        foreach (Socket socket in sockets)
        {
            Bind(socket);
        }

        foreach (EndPoint endPoint in endPoints)
        {
            Bind(endPoint, ListenAddress.IsBesideIPv4(endPoint, endPoints), shared: false);
        }

        // Without a name of its own, the server has that of its addresses.
        _lease = new EndpointLease(ByteStreamMetrics.Of(_options), Label);
    }

    private async Task StartAcceptingAsync()
    {
        try
        {
            await ListenAsync().ConfigureAwait(false);
            Accept();
        }
        catch
        {
            // Half of the addresses served, and the other half not, is a state that nobody expects.
            Close();
            throw;
        }
    }

    private async Task EndAcceptingAsync()
    {
        if (_starting is not null)
        {
            await _starting.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

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
}

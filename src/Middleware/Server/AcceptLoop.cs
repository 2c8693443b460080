using System.Net;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Server;

/// <summary>
/// Accepts from one listener for the server that owns it. A reload hands a loop over to another server while it runs: the socket continues to
/// listen, and queued clients are served by the new owner.
/// </summary>
/// <param name="listener">The listener; the loop disposes it.</param>
/// <param name="requested">The requested address, with port 0 where any free one was requested.</param>
/// <param name="owner">The first owner.</param>
/// <param name="logger">Logs a failure of the loop itself.</param>
internal sealed class AcceptLoop(IBoundListener listener, EndPoint requested, ServerListeners owner, ILogger logger)
{
    /// <summary>The longest wait for a queue to be accepted: it takes microseconds unless descriptors are short.</summary>
    private static readonly TimeSpan MostEmptying = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private volatile ServerListeners _owner = owner;
    private volatile Func<EndPoint?, bool>? _accepts;
    private Task? _running;
    private bool _listens;

    public IBoundListener Listener => listener;

    /// <summary>The real address.</summary>
    public EndPoint EndPoint => listener.EndPoint;

    public EndPoint Requested => requested;

    /// <summary>Whether clients can connect.</summary>
    public bool Listens => Volatile.Read(ref _listens);

    /// <summary>Done when a loop that was started has ended.</summary>
    public Task Completion
    {
        get
        {
            lock (_gate)
            {
                return _running ?? Task.CompletedTask;
            }
        }
    }

    /// <summary>The address that the kernel has bound.</summary>
    public ListenAddress Address => listener.Address;

    /// <summary>Whether new clients can reach it.</summary>
    public bool IsReachable => listener.IsReachable;

    /// <summary>Its role for its server.</summary>
    public AcceptLoopRole Role { get; private set; }

    /// <summary>Clients can connect from now on; they are accepted after <see cref="Start"/>.</summary>
    /// <exception cref="IOException">The address was lost to another program since it was bound.</exception>
    public void Listen()
    {
        if (!_listens)
        {
            listener.Listen();
            Volatile.Write(ref _listens, true);
        }
    }

    /// <summary>Begins to accept. A second call does nothing.</summary>
    public void Start()
    {
        lock (_gate)
        {
            _running ??= Task.Run(RunAsync);
        }
    }

    /// <summary>Gives the connections that are accepted from now on to another server.</summary>
    public void HandOver(ServerListeners next) => _owner = next;

    /// <summary>Keeps it as a listener of its server.</summary>
    public void Keep(AcceptLoopRole role)
    {
        _accepts = null;
        Role = role;
    }

    /// <summary>Announces its end by <see cref="EndAsync"/>; it accepts until then.</summary>
    /// <param name="accepts">Decides by a connection's local address whether it is accepted. Null accepts all.</param>
    public void BeginEnding(Func<EndPoint?, bool>? accepts)
    {
        _accepts = accepts;
        Role = AcceptLoopRole.Ending;
    }

    /// <summary>Whether the end that <see cref="BeginEnding"/> announced with this decision still holds.</summary>
    public bool IsEnding(Func<EndPoint?, bool>? accepts) => Role == AcceptLoopRole.Ending && ReferenceEquals(_accepts, accepts);

    /// <summary>Accepts what is in the kernel's queue, and closes the listener.</summary>
    public async Task EndAsync()
    {
        await listener.EmptyAsync(MostEmptying).ConfigureAwait(false);
        Unbind();
        await Completion.ConfigureAwait(false);
    }

    public void Unbind() =>
        // Unbinding is synchronous in every listener of this library.
        listener.UnbindAsync().GetAwaiter().GetResult();

    private async Task RunAsync()
    {
        try
        {
            while (await listener.AcceptAsync().ConfigureAwait(false) is ConnectionContext connection)
            {
                if (_accepts?.Invoke(connection.LocalEndPoint) == false || !TryGive(connection))
                {
                    // Reset, as the kernel does with connections that it has not handed over.
                    connection.Abort();
                    await connection.DisposeAsync().ConfigureAwait(false);
                }
            }
        }
        catch (Exception error)
        {
            // A listener retries every error of an accept.
            ServerLog.AcceptLoopFailed(logger, error, LogText.Of(EndPoint));
        }
        finally
        {
            await listener.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Gives a connection to the owner. Returns false where that has closed and the listener was not handed over.</summary>
    private bool TryGive(ConnectionContext connection)
    {
        ServerListeners owner = _owner;
        while (!owner.TryTake(connection))
        {
            ServerListeners next = _owner;
            if (ReferenceEquals(owner, next))
            {
                return false;
            }

            owner = next;
        }

        return true;
    }
}

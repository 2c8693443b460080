using System.Net;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams;

/// <summary>
/// Accepts from one listener for the server that owns it at that moment. A reload hands a loop over to another server while it runs: the
/// socket goes on listening, and queued clients are served by the new owner.
/// </summary>
/// <param name="listener">The listener; the loop disposes it.</param>
/// <param name="requested">The address as it was asked for, with port 0 where any free one was.</param>
/// <param name="server">The first owner.</param>
/// <param name="logger">Logs a failure of the loop itself.</param>
internal sealed class AcceptLoop(IBoundListener listener, EndPoint requested, ByteStreamServer server, ILogger logger)
{
    /// <summary>The longest wait for a queue to be accepted: it takes microseconds, unless descriptors are short.</summary>
    private static readonly TimeSpan MostEmptying = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private volatile ByteStreamServer _server = server;
    private volatile Func<EndPoint?, bool>? _accepts;
    private Task? _running;
    private bool _listens;

    public IBoundListener Listener => listener;

    /// <summary>The real address.</summary>
    public EndPoint EndPoint => listener.EndPoint;

    public EndPoint Requested => requested;

    /// <summary>Whether clients can connect.</summary>
    public bool Listens => Volatile.Read(ref _listens);

    /// <summary>Done when a loop that was started and unbound has ended.</summary>
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

    /// <summary>What the kernel binds.</summary>
    public ListenAddress Address => listener.Address;

    /// <summary>Whether new clients reach it.</summary>
    public bool IsReachable => listener.IsReachable;

    /// <summary>What it is to its server.</summary>
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

    /// <summary>Begins to accept. Twice is fine.</summary>
    public void Start()
    {
        lock (_gate)
        {
            _running ??= Task.Run(RunAsync);
        }
    }

    /// <summary>Gives all connections that are accepted from now on to another server.</summary>
    public void HandOver(ByteStreamServer next) => _server = next;

    /// <summary>It is its server's listener, in one of the roles that stay.</summary>
    public void Keep(AcceptLoopRole role)
    {
        _accepts = null;
        Role = role;
    }

    /// <summary>It is to be closed by <see cref="EndAsync"/>, and accepts until then.</summary>
    /// <param name="accepts">The decision by a connection's local address whether it is accepted. Null accepts all.</param>
    public void BeginEnding(Func<EndPoint?, bool>? accepts)
    {
        _accepts = accepts;
        Role = AcceptLoopRole.Ending;
    }

    /// <summary>Whether it still is to be closed as <see cref="BeginEnding"/> with this decision has said, and was not kept or ended anew since.</summary>
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

    /// <summary>Not taken by a server that has closed, unless the listener was handed over meanwhile.</summary>
    private bool TryGive(ConnectionContext connection)
    {
        ByteStreamServer server = _server;
        while (!server.TryTake(connection))
        {
            ByteStreamServer next = _server;
            if (ReferenceEquals(server, next))
            {
                return false;
            }

            server = next;
        }

        return true;
    }
}

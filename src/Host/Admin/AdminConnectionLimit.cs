using Microsoft.AspNetCore.Connections;

namespace StreamsHost.Admin;

/// <summary>
/// Limits the connections of the HTTP side. At the limit, a new connection closes the one that has been idle longest, so that idle or slow
/// connections do not keep a health probe out. Kestrel's own limit would refuse the new connection.
/// </summary>
/// <param name="most">The limit.</param>
/// <param name="time">The clock of the log interval.</param>
/// <param name="logger">The logger.</param>
internal sealed class AdminConnectionLimit(int most, TimeProvider time, ILogger<AdminConnectionLimit> logger)
{
    /// <summary>The shortest time between two log messages.</summary>
    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();

    /// <summary>Connections without a request in progress, the one that has been idle longest first.</summary>
    private readonly LinkedList<Connection> _idle = new();

    private int _count;
    private long _unreported;
    private long? _reportedAt;

    /// <summary>The connection middleware: serves a connection within the limit.</summary>
    public async Task OnConnectionAsync(ConnectionDelegate next, ConnectionContext context)
    {
        var connection = new Connection(this, context);
        if (!TryAdd(connection))
        {
            context.Abort(new ConnectionAbortedException("Each connection of the HTTP side has a request in progress."));
            return;
        }

        context.Features.Set(connection);
        try
        {
            await next(context);
        }
        finally
        {
            lock (_gate)
            {
                Remove(connection);
            }
        }
    }

    /// <summary>The HTTP middleware: the connection of a request is not idle.</summary>
    public static async Task OnRequestAsync(HttpContext context, RequestDelegate next)
    {
        // None where the connection is not one of Kestrel's.
        Connection? connection = context.Features.Get<Connection>();
        connection?.Limit.BeginRequest(connection);
        try
        {
            await next(context);
        }
        finally
        {
            connection?.Limit.EndRequest(connection);
        }
    }

    private bool TryAdd(Connection connection)
    {
        Connection? evicted = null;
        long reported = 0;
        lock (_gate)
        {
            bool isFull = _count >= most;
            if (isFull)
            {
                reported = Report();
                evicted = _idle.First?.Value;
            }

            if (evicted is not null)
            {
                Remove(evicted);
            }

            if (!isFull || evicted is not null)
            {
                _count++;
                connection.IsCounted = true;
                _idle.AddLast(connection.Place);
            }
        }

        if (reported > 0)
        {
            AdminLog.ConnectionLimit(logger, most, reported);
        }

        evicted?.Context.Abort(new ConnectionAbortedException("A newer connection of the HTTP side replaces this one, which was idle."));
        return connection.IsCounted;
    }

    private void BeginRequest(Connection connection)
    {
        lock (_gate)
        {
            if (connection.IsCounted)
            {
                _idle.Remove(connection.Place);
            }
        }
    }

    private void EndRequest(Connection connection)
    {
        lock (_gate)
        {
            if (connection.IsCounted)
            {
                _idle.AddLast(connection.Place);
            }
        }
    }

    private void Remove(Connection connection)
    {
        if (!connection.IsCounted)
        {
            return;
        }

        connection.IsCounted = false;
        _count--;
        if (connection.Place.List is not null)
        {
            _idle.Remove(connection.Place);
        }
    }

    /// <summary>Counts a connection above the limit; returns the number to log now, 0 for no message.</summary>
    private long Report()
    {
        _unreported++;
        if (_reportedAt is long last && time.GetElapsedTime(last) < LogInterval)
        {
            return 0;
        }

        _reportedAt = time.GetTimestamp();
        long reported = _unreported;
        _unreported = 0;
        return reported;
    }

    private sealed class Connection
    {
        public Connection(AdminConnectionLimit limit, ConnectionContext context)
        {
            Limit = limit;
            Context = context;
            Place = new LinkedListNode<Connection>(this);
        }

        public AdminConnectionLimit Limit { get; }

        public ConnectionContext Context { get; }

        /// <summary>Its node in the list of idle connections; in no list during a request.</summary>
        public LinkedListNode<Connection> Place { get; }

        public bool IsCounted { get; set; }
    }
}

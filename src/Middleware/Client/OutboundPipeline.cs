using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Client;

/// <summary>The middleware of outbound connections, and what runs it. Thread-safe, except for <see cref="Add"/>.</summary>
internal sealed class OutboundPipeline
{
    private readonly List<Func<ConnectionDelegate, ConnectionDelegate>> _middleware = [];
    private ConnectionDelegate? _built;

    public bool IsEmpty => _middleware.Count == 0;

    public void Add(Func<ConnectionDelegate, ConnectionDelegate> middleware)
    {
        lock (_middleware)
        {
            _middleware.Add(middleware);
            _built = null;
        }
    }

    public ConnectionDelegate Build()
    {
        lock (_middleware)
        {
            if (_built is null)
            {
                ConnectionDelegate built = static connection => connection.Features.Get<OutboundHandover>()!.HandOverAsync();
                for (int i = _middleware.Count - 1; i >= 0; i--)
                {
                    built = _middleware[i](built);
                }

                _built = built;
            }

            return _built;
        }
    }

    /// <summary>Runs the middleware of a new connection until its end has been reached. Disposes the connection on failure.</summary>
    /// <returns>What ends the middleware when the connection is disposed.</returns>
    public async Task<OutboundHandover> BeginAsync(ConnectionContext connection, CancellationToken cancellationToken)
    {
        var handover = new OutboundHandover();
        connection.Features.Set(handover);
        try
        {
            ConnectionDelegate pipeline = Build();
            handover.Middleware = ConnectionRunner.RunAsync(ConnectionState.Create(connection, completesHandler: false), pipeline);
            // Middleware that waits for the peer notices that.
            using (cancellationToken.UnsafeRegister(static context => ((ConnectionContext)context!).Abort(), connection))
            {
                await Task.WhenAny(handover.Reached, handover.Middleware).ConfigureAwait(false);
            }

            cancellationToken.ThrowIfCancellationRequested();
            if (!handover.Reached.IsCompleted)
            {
                await handover.Middleware.ConfigureAwait(false);
                throw new ConnectionAbortedException("Connection middleware ended the outbound connection: it did not call the next middleware.");
            }

            connection.ConnectionClosed.UnsafeRegister(static ended => ((OutboundHandover)ended!).Release(), handover);
            return handover;
        }
        catch
        {
            connection.Abort();
            handover.Release();
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}

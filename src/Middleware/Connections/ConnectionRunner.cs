using System.Runtime.ExceptionServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Connections;

/// <summary>
/// The life of a connection, from the moment at which Kestrel hands it over until it has left its server. The only long-lived asynchronous
/// frame of the library.
/// </summary>
internal static class ConnectionRunner
{
    /// <summary>Serves a connection: begin, pipeline, close, release, report.</summary>
    public static async Task RunAsync(ConnectionState connection, ConnectionDelegate pipeline)
    {
        Exception? failure = null;
        try
        {
            if (connection.Owner is IConnectionOwner owner)
            {
                await owner.BeginAsync(connection).ConfigureAwait(false);
            }

            await pipeline(connection.Connection).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            failure = error;
        }

        // In a frame of its own: what it needs would lie in this one as long as the connection lives.
        await EndAsync(connection, failure).ConfigureAwait(false);
    }

    private static async Task EndAsync(ConnectionState connection, Exception? failure)
    {
        try
        {
            if (connection is { CompletesHandler: true, Handler: ByteStreamConnectionHandler handler })
            {
                await handler.CompleteAsync(connection, failure).ConfigureAwait(false);
                failure = null;
                connection.LogScope?.Dispose();
            }

            if (connection.Reporter is not null)
            {
                if (failure is not null)
                {
                    connection.Link!.Abort(ConnectionCloseReason.HandlerError, failure);
                }

                // Middleware that has refused the connection has closed it; one that has only returned leaves that to the runner.
                connection.Link!.Close();
                await ConnectionLink.WaitForEndAsync(connection.Connection).ConfigureAwait(false);
            }

            connection.ReleaseResources();
            connection.Reporter?.Report(connection);
        }
        catch (Exception error)
        {
            failure ??= error;
        }

        if (connection.Owner is IConnectionOwner owner)
        {
            await LeaveAsync(connection, owner, failure).ConfigureAwait(false);
        }
        else if (failure is not null)
        {
            // To Kestrel, which logs it.
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    private static async ValueTask LeaveAsync(ConnectionState connection, IConnectionOwner owner, Exception? failure)
    {
        try
        {
            if (failure is not null)
            {
                owner.OnMiddlewareFailed(connection, failure);
            }
        }
        finally
        {
            await owner.LeaveAsync(connection).ConfigureAwait(false);
        }
    }
}

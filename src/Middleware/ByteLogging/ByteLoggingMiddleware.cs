using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.ByteLogging;

/// <summary>Replaces the connection's pipe by one that logs, where Debug is enabled.</summary>
internal sealed class ByteLoggingMiddleware(ConnectionDelegate next, int mostBytes, ILogger logger)
{
    public async Task OnConnectionAsync(ConnectionContext context)
    {
        if (!logger.IsEnabled(LogLevel.Debug))
        {
            await next(context).ConfigureAwait(false);
            return;
        }

        IDuplexPipe below = context.Transport;
        var log = new ByteLog(logger, context.ConnectionId, mostBytes);
        context.Transport = new LoggingPipe(new LoggingReader(below.Input, log), new LoggingWriter(below.Output, log));
        try
        {
            await next(context).ConfigureAwait(false);
        }
        finally
        {
            context.Transport = below;
        }
    }

    private sealed record LoggingPipe(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}

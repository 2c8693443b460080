using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>
/// What happens when this host is evicted, or Orleans cannot go on: the connections are drained and the process exits with code 3. Orleans itself
/// would end the process at once, with a memory dump.
/// </summary>
internal sealed class EvictionHandler : IFatalErrorHandler
{
    /// <summary>The exit code of an evicted host.</summary>
    private const int ExitCode = 3;

    private readonly ClusterBackplane _backplane;
    private readonly ByteStreamClusterOptions _options;
    private readonly IHostApplicationLifetime _lifetime;
    private readonly ILogger _logger;

    public EvictionHandler(
        ClusterBackplane backplane, ByteStreamClusterOptions options, IHostApplicationLifetime lifetime, ILogger<ClusterBackplane> logger)
    {
        _backplane = backplane;
        _options = options;
        _lifetime = lifetime;
        _logger = logger;
        backplane.WhenEvicted = _ => End();
    }

    public bool IsUnexpected(Exception exception) => exception is not ThreadInterruptedException;

    public void OnFatalException(object? sender, string? context, Exception? exception)
    {
        ClusterLog.Fatal(_logger, exception, context);
        _backplane.Evict(context ?? exception?.Message ?? "Orleans cannot go on");
    }

    private void End()
    {
        Environment.ExitCode = ExitCode;
        if (_options.OnEvicted == EvictionAction.Exit || !_lifetime.ApplicationStarted.IsCancellationRequested)
        {
            // A stop in the middle of the start would end it with an exception.
            Environment.Exit(ExitCode);
        }

        // Not on the thread of Orleans that reports it: the stop waits for Orleans.
        _ = Task.Run(_lifetime.StopApplication);
    }
}

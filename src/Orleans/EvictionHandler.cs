using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster;

/// <summary>
/// Handles the eviction of this host and fatal errors of Orleans: drains the connections and exits with code 3. The default handler of Orleans
/// terminates the process immediately, with a memory dump.
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
        backplane.WhenEvicted = _ => Stop();
    }

    public bool IsUnexpected(Exception exception) => exception is not ThreadInterruptedException;

    public void OnFatalException(object? sender, string? context, Exception? exception)
    {
        ClusterLog.Fatal(_logger, exception, context);
        _backplane.Evict(context ?? exception?.Message ?? "fatal error in Orleans");
    }

    private void Stop()
    {
        Environment.ExitCode = ExitCode;
        if (_options.OnEvicted == EvictionAction.Exit || !_lifetime.ApplicationStarted.IsCancellationRequested)
        {
            // StopApplication during startup would fail the startup with an exception.
            Environment.Exit(ExitCode);
        }

        // On the thread pool, because shutdown waits for the Orleans thread that reports the eviction.
        _ = Task.Run(_lifetime.StopApplication);
    }
}

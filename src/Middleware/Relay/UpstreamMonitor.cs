using System.Net.Sockets;
using ByteStreams.Transport;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Relay;

/// <summary>Checks the health of a relay's upstreams, and resolves their host names again, both periodically until it is disposed.</summary>
internal sealed class UpstreamMonitor : IDisposable
{
    private readonly UpstreamConnector _connector;
    private readonly RelayOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _disposed = new();
    private readonly CancellationToken _stopping;

    public UpstreamMonitor(UpstreamGroup upstreams, UpstreamConnector connector, RelayOptions options, TimeProvider time, ILogger logger)
    {
        _connector = connector;
        _options = options;
        _time = time;
        _logger = logger;
        _stopping = _disposed.Token;
        if (options.HealthCheckInterval is TimeSpan interval)
        {
            foreach (Upstream upstream in upstreams.All)
            {
                _ = RepeatAsync(interval, () => CheckAsync(upstream));
            }
        }

        foreach (Upstream upstream in upstreams.All.Where(upstream => upstream.HasName))
        {
            _ = RepeatAsync(options.ResolveInterval, () => ResolveAsync(upstream));
        }
    }

    public void Dispose()
    {
        _disposed.Cancel();
        _disposed.Dispose();
    }

    private async Task CheckAsync(Upstream upstream)
    {
        string? failure = null;
        try
        {
            await _connector.CheckAsync(upstream, _stopping).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            return;
        }
        catch (SocketException shortage) when (DescriptorLimit.IsShortage(shortage))
        {
            // The check did not run: neither a success nor a failure.
            return;
        }
        catch (Exception failed)
        {
            // Every other exception is a failed check: an escaped one would end the checks without a trace.
            failure = failed.Message;
        }

        if (!upstream.RecordHealthCheck(failure is null))
        {
            return;
        }

        if (failure is null)
        {
            RelayLog.Healthy(_logger, upstream.Name);
        }
        else
        {
            RelayLog.Unhealthy(_logger, upstream.Name, _options.UnhealthyAfter, failure);
        }
    }

    private async Task ResolveAsync(Upstream upstream)
    {
        try
        {
            await upstream.ResolveAsync(_stopping).ConfigureAwait(false);
        }
        catch (Exception failed) when (!_stopping.IsCancellationRequested)
        {
            RelayLog.ResolutionFailed(_logger, upstream.Name, failed.Message);
        }
    }

    private async Task RepeatAsync(TimeSpan interval, Func<Task> action)
    {
        using var timer = new PeriodicTimer(interval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopping).ConfigureAwait(false))
            {
                await action().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // Disposed.
        }
    }
}

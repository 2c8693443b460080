using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>
/// The drain of all endpoints, which runs once: readiness fails; after the delay listeners close and handlers are canceled; at the deadline
/// the remaining connections are aborted.
/// </summary>
internal sealed class Drain(ByteStreamServers servers, TimeProvider time, ILogger logger) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _deadline = new();
    private readonly CancellationTokenSource _hurry = new();
    private Task<DrainReport>? _task;

    /// <summary>Starts the drain, or joins the one in progress.</summary>
    /// <param name="settle">Waits for what may still start servers, and returns the parameters.</param>
    public Task<DrainReport> RunAsync(Func<Task<DrainParameters>> settle)
    {
        lock (_gate)
        {
            if (_task is null)
            {
                // Synchronously: readiness has to fail first.
                servers.Advance(ByteStreamsState.Draining);
                _task = Task.Run(() => DrainAsync(settle));
            }

            return _task;
        }
    }

    /// <summary>Ends the wait: the remaining connections are aborted.</summary>
    public void Expire() => _deadline.Cancel();

    /// <summary>As <see cref="Expire"/>, with a short time for handlers to clean up.</summary>
    public void Hurry()
    {
        _hurry.Cancel();
        _deadline.Cancel();
    }

    public void Dispose()
    {
        _deadline.Dispose();
        _hurry.Dispose();
    }

    private async Task<DrainReport> DrainAsync(Func<Task<DrainParameters>> settle)
    {
        DrainParameters parameters = await settle().ConfigureAwait(false);
        if (parameters.Delay > TimeSpan.Zero)
        {
            // Each time counts from its log line, not from later.
            Task delay = Task.Delay(parameters.Delay, time, _deadline.Token);
            HostingLog.DrainDelayed(logger, parameters.Delay.TotalSeconds);
            await delay.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        using var late = new CancellationTokenSource(parameters.Timeout, time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _deadline.Token);
        long began = time.GetTimestamp();
        HostingLog.Draining(logger, parameters.Servers.Sum(server => server.ClientCount), parameters.Timeout.TotalSeconds);
        DrainReport report = DrainReport.Sum(
            await Task.WhenAll(parameters.Servers.Select(server => server.StopAsync(deadline.Token, _hurry.Token))).ConfigureAwait(false));
        HostingLog.Drained(logger, Math.Round(time.GetElapsedTime(began).TotalSeconds, 3), report.Aborted, report.LeftBehind);
        servers.Advance(ByteStreamsState.Drained);
        return report;
    }
}

/// <summary>The servers and the times of a drain.</summary>
/// <param name="Servers">The servers that listen, and those that only have open connections.</param>
/// <param name="Delay">How long listeners stay open.</param>
/// <param name="Timeout">How long handlers may run after the delay.</param>
internal sealed record DrainParameters(IReadOnlyList<ByteStreamServer> Servers, TimeSpan Delay, TimeSpan Timeout);

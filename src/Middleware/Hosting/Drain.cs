using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>
/// The end of all endpoints, once: not ready any more, then a while in which nothing else changes, then no new clients and the handlers
/// are told, then whoever is left at the deadline is aborted.
/// </summary>
internal sealed class Drain(ByteStreamServers servers, TimeProvider time, ILogger logger) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _deadline = new();
    private readonly CancellationTokenSource _hurry = new();
    private Task<DrainReport>? _task;

    /// <summary>Begins, or joins what has begun.</summary>
    /// <param name="settle">Ends what might still start servers, and says for how long and what is drained.</param>
    public Task<DrainReport> RunAsync(Func<Task<DrainPlan>> settle)
    {
        lock (_gate)
        {
            if (_task is null)
            {
                // At once, and not when a thread has time for it: readiness has to fail first.
                servers.Advance(ByteStreamsState.Draining);
                _task = Task.Run(() => DrainAsync(settle));
            }

            return _task;
        }
    }

    /// <summary>Waiting is over: whoever is left is aborted.</summary>
    public void End() => _deadline.Cancel();

    /// <summary>As <see cref="End"/>, and clean-up code has hardly any time left.</summary>
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

    private async Task<DrainReport> DrainAsync(Func<Task<DrainPlan>> settle)
    {
        DrainPlan plan = await settle().ConfigureAwait(false);
        if (plan.Delay > TimeSpan.Zero)
        {
            HostingLog.DrainDelayed(logger, plan.Delay.TotalSeconds);
            await Task.Delay(plan.Delay, time, _deadline.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        HostingLog.Draining(logger, plan.Servers.Sum(server => server.ClientCount), plan.Timeout.TotalSeconds);
        using var late = new CancellationTokenSource(plan.Timeout, time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _deadline.Token);
        long began = time.GetTimestamp();
        DrainReport report = DrainReport.Sum(
            await Task.WhenAll(plan.Servers.Select(server => server.StopAsync(deadline.Token, _hurry.Token))).ConfigureAwait(false));
        HostingLog.Drained(logger, Math.Round(time.GetElapsedTime(began).TotalSeconds, 3), report.Aborted, report.LeftBehind);
        servers.Advance(ByteStreamsState.Drained);
        return report;
    }
}

/// <summary>What is drained, and how patiently.</summary>
/// <param name="Servers">Those that listen, and those that only have connections left.</param>
/// <param name="Delay">How long their listeners stay open.</param>
/// <param name="Timeout">How long handlers have behind that.</param>
internal sealed record DrainPlan(IReadOnlyList<ByteStreamServer> Servers, TimeSpan Delay, TimeSpan Timeout);

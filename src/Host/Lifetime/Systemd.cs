using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using ByteStreams;
using Microsoft.Extensions.Options;

namespace StreamsHost.Lifetime;

/// <summary>
/// Notifies systemd of the program's state (sd_notify(3)) if a unit of Type=notify started it: ready, reloading, stopping, and, with
/// WatchdogSec=, alive.
/// </summary>
internal sealed partial class Systemd(
    NotifySocket notify, ByteStreamServers servers, IOptions<HostOptions> host, ILogger<Systemd> logger)
    : IHostedLifecycleService, IDisposable
{
    private readonly CancellationTokenSource _stopped = new();
    private Task _watching = Task.CompletedTask;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken)
    {
        NotifyReady();
        servers.StateChanged += NotifyStatus;
        if (WatchdogInterval() is TimeSpan interval)
        {
            _watching = WatchAsync(interval);
        }

        return Task.CompletedTask;
    }

    /// <summary>Registered last and so called first: before the drain begins.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        servers.StateChanged -= NotifyStatus;
        // TimeoutStopSec= may be shorter than the drain.
        string patience = host.Value.ShutdownTimeout == Timeout.InfiniteTimeSpan
            ? "infinity"
            : ((long)host.Value.ShutdownTimeout.TotalMicroseconds).ToString(CultureInfo.InvariantCulture);
        Notify($"STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC={patience}");
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _stopped.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void NotifyReady() => Notify($"READY=1\nSTATUS={Status(servers.State)}");

    /// <summary>Type=notify-reload waits for the next <see cref="NotifyReady"/>.</summary>
    public void NotifyReloading() => Notify(string.Create(
        CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={(long)Stopwatch.GetElapsedTime(0).TotalMicroseconds}\nSTATUS=Reloading the configuration"));

    public void Dispose() => _stopped.Dispose();

    /// <summary>A drain that an operator started is not STOPPING=1, because the process continues.</summary>
    private void NotifyStatus(ByteStreamsState state) => Notify($"STATUS={Status(state)}");

    private string Status(ByteStreamsState state) =>
        state is ByteStreamsState.Draining or ByteStreamsState.Drained ? state.ToString() : $"Serving {string.Join(", ", servers.Names)}";

    /// <summary>Half of the watchdog timeout (sd_watchdog_enabled(3)); null without a watchdog.</summary>
    private TimeSpan? WatchdogInterval()
    {
        bool isOurs = Environment.GetEnvironmentVariable("WATCHDOG_PID") is not { Length: > 0 } pid || pid == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        return notify.IsThere && isOurs && long.TryParse(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), NumberStyles.None, CultureInfo.InvariantCulture, out long limit) && limit > 0
            ? TimeSpan.FromMicroseconds(limit / 2)
            : null;
    }

    private async Task WatchAsync(TimeSpan interval)
    {
        while (!_stopped.IsCancellationRequested)
        {
            // A stuck event loop sends no notification, so that systemd restarts the service.
            if (await ByteStreamServers.AreEventLoopsResponsiveAsync(interval, TimeProvider.System, _stopped.Token))
            {
                Notify("WATCHDOG=1");
            }
            else
            {
                Stuck(logger);
            }
        }
    }

    private void Notify(string state)
    {
        try
        {
            notify.Send(state);
        }
        catch (SocketException error)
        {
            NotNotified(logger, state.Split('\n')[0], error.Message);
        }
    }

    [LoggerMessage(930, LogLevel.Warning, "systemd was not notified of {State}: {Reason}.")]
    private static partial void NotNotified(ILogger logger, string state, string reason);

    [LoggerMessage(931, LogLevel.Error, "An event loop makes no progress; systemd's watchdog is not notified.")]
    private static partial void Stuck(ILogger logger);
}

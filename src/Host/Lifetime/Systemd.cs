using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using ByteStreams;
using Microsoft.Extensions.Options;

namespace StreamsHost.Lifetime;

/// <summary>
/// Tells systemd how the program is (sd_notify(3)), where it was started by a unit of Type=notify: that it is ready, reloads and stops,
/// and, with WatchdogSec=, that it is alive.
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
        TellReady();
        servers.Advanced += TellStatus;
        if (WatchdogInterval() is TimeSpan interval)
        {
            _watching = WatchAsync(interval);
        }

        return Task.CompletedTask;
    }

    /// <summary>Last to be registered, first to be told: before the drain begins.</summary>
    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        servers.Advanced -= TellStatus;
        // TimeoutStopSec= must not cut a drain that is meant to take longer.
        string patience = host.Value.ShutdownTimeout == Timeout.InfiniteTimeSpan
            ? "infinity"
            : ((long)host.Value.ShutdownTimeout.TotalMicroseconds).ToString(CultureInfo.InvariantCulture);
        Tell($"STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC={patience}");
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _stopped.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void TellReady() => Tell($"READY=1\nSTATUS={Status(servers.State)}");

    /// <summary>Type=notify-reload waits for the next <see cref="TellReady"/>.</summary>
    public void TellReloading() => Tell(string.Create(
        CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={(long)Stopwatch.GetElapsedTime(0).TotalMicroseconds}\nSTATUS=Reading the configuration anew"));

    public void Dispose() => _stopped.Dispose();

    /// <summary>A drain that an operator has begun: the process stays, and so it is no STOPPING=1.</summary>
    private void TellStatus(ByteStreamsState state) => Tell($"STATUS={Status(state)}");

    private string Status(ByteStreamsState state) =>
        state is ByteStreamsState.Draining or ByteStreamsState.Drained ? state.ToString() : $"Serving {string.Join(", ", servers.Names)}";

    /// <summary>Half of the time within which systemd wants to hear of this process (sd_watchdog_enabled(3)).</summary>
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
            // A loop that answers nobody is no life: nothing is told then, and systemd acts.
            if (await ByteStreamServers.AnswersAsync(interval, TimeProvider.System, _stopped.Token))
            {
                Tell("WATCHDOG=1");
            }
            else
            {
                Stuck(logger);
            }
        }
    }

    private void Tell(string state)
    {
        try
        {
            notify.Send(state);
        }
        catch (SocketException error)
        {
            NotTold(logger, state.Split('\n')[0], error.Message);
        }
    }

    [LoggerMessage(930, LogLevel.Warning, "systemd could not be told {State}: {Reason}.")]
    private static partial void NotTold(ILogger logger, string state, string reason);

    [LoggerMessage(931, LogLevel.Error, "An event loop stands still; systemd's watchdog is not told that all is well.")]
    private static partial void Stuck(ILogger logger);
}

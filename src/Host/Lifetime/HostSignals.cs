using System.Runtime.InteropServices;
using ByteStreams;
using StreamsHost.Output;

namespace StreamsHost.Lifetime;

/// <summary>
/// Handles signals: the first SIGTERM, SIGINT or SIGQUIT drains the host and exits; a second one exits within a second unless it belongs to
/// the first (<see cref="EndingSignals"/>); SIGHUP reloads configuration and certificates; SIGUSR1 and SIGUSR2 are ignored.
/// </summary>
internal sealed partial class HostSignals(
    IHostApplicationLifetime application, ByteStreamServers servers, IConfiguration configuration, Systemd systemd, TimeProvider time, ILogger<HostSignals> logger)
    : IHostLifetime, IDisposable
{
    /// <summary>Aborting takes a quarter of a second; what still runs after this time does not end by itself.</summary>
    private static readonly TimeSpan LastResort = TimeSpan.FromMilliseconds(800);

    /// <summary>Numbers from signal(7) of Linux and of macOS. Both kill a process by default, and operators send them to reopen logs or print statistics.</summary>
    private static readonly (int Number, string Name)[] UserSignals =
        OperatingSystem.IsWindows() ? [] : OperatingSystem.IsLinux() ? [(10, "SIGUSR1"), (12, "SIGUSR2")] : [(30, "SIGUSR1"), (31, "SIGUSR2")];

    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly EndingSignals _ending = new(time);

    public Task WaitForStartAsync(CancellationToken cancellationToken)
    {
        foreach (PosixSignal signal in (PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGQUIT])
        {
            _registrations.Add(PosixSignalRegistration.Create(signal, End));
        }

        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, Reload));
        foreach ((int number, string name) in UserSignals)
        {
            _registrations.Add(PosixSignalRegistration.Create((PosixSignal)number, context =>
            {
                context.Cancel = true;
                Ignored(logger, name);
            }));
        }

        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => _registrations.ForEach(registration => registration.Dispose());

    private void End(PosixSignalContext context)
    {
        context.Cancel = true;
        switch (_ending.Receive())
        {
            case EndingRequest.Drain:
                Ending(logger, context.Signal);
                application.StopApplication();
                break;
            case EndingRequest.Abort:
                Abort(context.Signal);
                break;
            default:
                AlreadyEnding(logger, context.Signal);
                break;
        }
    }

    private void Abort(PosixSignal signal)
    {
        // A thread of its own: the thread pool may be starved.
        new Thread(static () =>
        {
            Thread.Sleep(LastResort);
            Environment.Exit(ExitCodes.Aborted);
        })
        { IsBackground = true, Name = "Last resort" }.Start();
        EndingAtOnce(logger, signal);
        if (servers.State is ByteStreamsState.Serving or ByteStreamsState.Draining)
        {
            _ = servers.AbortAsync(CancellationToken.None);
        }
    }

    private void Reload(PosixSignalContext context)
    {
        context.Cancel = true;
        if (servers.State == ByteStreamsState.Serving)
        {
            _ = ReloadAsync();
        }
        else
        {
            NotNow(logger, servers.State);
        }
    }

    private async Task ReloadAsync()
    {
        systemd.NotifyReloading();
        try
        {
            ReloadReport report = await servers.ReloadAsync(((IConfigurationRoot)configuration).Reload);
            if (report.Errors.Count > 0)
            {
                Rejected(logger, report.Errors.Count);
            }
            else
            {
                Reloaded(logger, report.Added, report.Removed, report.Changed);
            }
        }
        catch (OperationCanceledException)
        {
            NotNow(logger, servers.State);
        }
        catch (Exception error)
        {
            // A file that is not valid JSON, or missing. No error may end the running host.
            Unreadable(logger, ErrorText.From(error));
        }
        finally
        {
            systemd.NotifyReady();
        }
    }

    [LoggerMessage(910, LogLevel.Information, "{Signal}: draining; another one exits at once.")]
    private static partial void Ending(ILogger logger, PosixSignal signal);

    [LoggerMessage(911, LogLevel.Warning, "{Signal} again: aborting open connections.")]
    private static partial void EndingAtOnce(ILogger logger, PosixSignal signal);

    [LoggerMessage(916, LogLevel.Debug, "{Signal} again: the host is already stopping.")]
    private static partial void AlreadyEnding(ILogger logger, PosixSignal signal);

    [LoggerMessage(917, LogLevel.Information, "{Signal} is ignored. SIGHUP reloads configuration and certificates; SIGTERM stops the host.")]
    private static partial void Ignored(ILogger logger, string signal);

    [LoggerMessage(912, LogLevel.Information, "SIGHUP: configuration and certificates reloaded; endpoints added {Added}, removed {Removed}, changed {Changed}.")]
    private static partial void Reloaded(ILogger logger, int added, int removed, int changed);

    [LoggerMessage(913, LogLevel.Error, "SIGHUP: configuration reload rejected with {Errors} errors, which are logged; keeping the running configuration.")]
    private static partial void Rejected(ILogger logger, int errors);

    [LoggerMessage(914, LogLevel.Error, "SIGHUP: the configuration cannot be read; keeping the running configuration: {Reason}")]
    private static partial void Unreadable(ILogger logger, string reason);

    [LoggerMessage(915, LogLevel.Information, "SIGHUP: not reloaded, the endpoints are {State}.")]
    private static partial void NotNow(ILogger logger, ByteStreamsState state);
}

using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ByteStreams.Hosting;

/// <summary>Starts the endpoints with the host, applies configuration changes while they run, and drains them when the host stops.</summary>
internal sealed class ByteStreamsService(
    EndpointRegistry registry,
    ByteStreamServers servers,
    IServiceProvider services,
    ILoggerFactory loggerFactory,
    ConnectionTotal total,
    ByteStreamConnections connections,
    IEndpointAnnouncer announcer,
    IOptions<HostOptions> host) : IHostedLifecycleService, IDisposable, IAsyncDisposable
{
    /// <summary>The shutdown time of the host's other services, after a drain that took all of its own.</summary>
    private static readonly TimeSpan ForOthers = TimeSpan.FromSeconds(10);

    private readonly TimeProvider _time = services.GetService<TimeProvider>() ?? TimeProvider.System;
    private readonly ILogger _logger = loggerFactory.CreateLogger("ByteStreams.Hosting");

    /// <summary>Resolved early: after a failed start, disposal runs when the services are disposed.</summary>
    private readonly ByteStreamMetrics _metrics = services.GetRequiredService<ByteStreamMetrics>();

    private readonly ServiceLimits _limits = new(total, connections, loggerFactory.CreateLogger("ByteStreams.Hosting"));
    private readonly ConfigurationChanges _changes = new();
    private readonly RetiredServers _retired = new(services.GetService<TimeProvider>() ?? TimeProvider.System);
    private readonly Drain _drain = new(
        servers, services.GetService<TimeProvider>() ?? TimeProvider.System, loggerFactory.CreateLogger("ByteStreams.Hosting"));

    private readonly CancellationTokenSource _stopped = new();

    /// <summary>Held while a configuration is applied; the drain keeps it.</summary>
    private readonly SemaphoreSlim _reloading = new(1);

    private IReadOnlyList<RunningEndpoint> _running = [];
    private ServiceSettings _settings = new();
    private CancellationTokenRegistration _announcement;
    private Task _following = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // Subscribe before reading: a change in between is applied after the start.
        _changes.Subscribe(registry.Sections);
        var errors = new List<string>();
        IReadOnlyList<EndpointDefinition> definitions = registry.Define(services, loggerFactory, [], errors);
        _settings = registry.ReadService();
        bool relays = definitions.Any(definition => definition.IsRelay);
        _limits.Initialize(_settings, relays);
        await using (var start = new EndpointTransition([], definitions))
        {
            // Also after an error, to report the addresses that cannot be bound together with it.
            await start.PrepareAsync(errors, cancellationToken).ConfigureAwait(false);
            if (errors.Count > 0)
            {
                // All or nothing: a partly started service looks healthy.
                throw new EndpointConfigurationException(errors);
            }

            _running = start.Commit();
        }

        _limits.Complete(_settings, relays);
        ExtendShutdown();
        Publish();
        Record([]);
        servers.RunBy(this);
        servers.Advance(ByteStreamsState.Serving);
        _following = Task.Run(() => FollowAsync(), CancellationToken.None);
        if (services.GetService<IHostApplicationLifetime>() is IHostApplicationLifetime lifetime)
        {
            // After all services have started, so that the addresses are the last log lines.
            _announcement = lifetime.ApplicationStarted.UnsafeRegister(static self => ((ByteStreamsService)self!).AnnounceStart(), this);
        }
        else
        {
            AnnounceStart();
        }
    }

    /// <summary>Drains before any service stops: the application's HTTP side has to report meanwhile that it is not ready.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        using CancellationTokenRegistration late = cancellationToken.UnsafeRegister(static drain => ((Drain)drain!).Expire(), _drain);
        await DrainAsync(abort: false).ConfigureAwait(false);
    }

    /// <summary>For hosts that do not call <see cref="IHostedLifecycleService"/>; others have drained already.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => StoppingAsync(cancellationToken);

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>After a failed start the host does not call stop: disposal closes connections and removes socket files.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_running.Count > 0)
        {
            await DrainAsync(abort: true).ConfigureAwait(false);
        }

        Dispose();
    }

    public void Dispose()
    {
        _announcement.Dispose();
        _changes.Dispose();
        _stopped.Dispose();
        _drain.Dispose();
        _reloading.Dispose();
    }

    /// <summary>Starts the drain, or joins the one in progress.</summary>
    /// <param name="abort">Whether connections are aborted at once, also if the drain is in progress.</param>
    internal Task<DrainReport> DrainAsync(bool abort)
    {
        // Also after a failed start: later calls join this drain.
        servers.RunBy(this);
        if (abort)
        {
            _drain.Hurry();
        }

        return _drain.RunAsync(SettleAsync);
    }

    private async Task<DrainParameters> SettleAsync()
    {
        _announcement.Dispose();
        _changes.Dispose();
        _metrics.Freeze();

        // Waits for a reload in progress, which may be starting a server.
        await _stopped.CancelAsync().ConfigureAwait(false);
        await _following.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _reloading.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        return new DrainParameters([.. _running.Select(running => running.Server), .. _retired.Servers], _settings.DrainDelay, _settings.DrainTimeout);
    }

    /// <summary>
    /// The host stops waiting at its own shutdown timeout, so the drain has to fit. A timeout that code has changed wins unless a drain time is
    /// configured.
    /// </summary>
    private void ExtendShutdown()
    {
        TimeSpan needed = _settings.DrainDelay + _settings.DrainTimeout + ForOthers;
        if (host.Value.ShutdownTimeout < needed && host.Value.ShutdownTimeout != Timeout.InfiniteTimeSpan
            && (_settings.ConfiguresDrain() || host.Value.ShutdownTimeout == new HostOptions().ShutdownTimeout))
        {
            host.Value.ShutdownTimeout = needed;
        }
    }

    /// <summary>Applies the configuration and the certificate files as they are now, whether or not a change was reported.</summary>
    /// <param name="read">Reads the configuration's sources again. Its exceptions are thrown, and nothing changes.</param>
    /// <exception cref="OperationCanceledException">The endpoints are stopping.</exception>
    internal async Task<ReloadReport> ReloadAsync(Action read)
    {
        await _reloading.WaitAsync(_stopped.Token).ConfigureAwait(false);
        try
        {
            try
            {
                read();
            }
            catch (Exception unreadable)
            {
                Record([$"{unreadable.Message} {unreadable.InnerException?.Message}".TrimEnd()]);
                throw;
            }

            // The change that the read reported is applied here.
            _changes.TryTake();
            _metrics.LookAtCertificates();
            return await ApplyAsync(_stopped.Token).ConfigureAwait(false);
        }
        finally
        {
            _reloading.Release();
        }
    }

    /// <summary>Applies the configuration as it is now. Nothing changes if it has errors (F46).</summary>
    private async Task<ReloadReport> ApplyAsync(CancellationToken cancellationToken)
    {
        var errors = new List<string>();
        IReadOnlyList<EndpointDefinition> definitions = registry.Define(services, loggerFactory, [.. _running.Select(running => running.Definition)], errors);
        if (_running.Any(running => running.Definition.IsConfigured) && !definitions.Any(definition => definition.IsConfigured) && errors.Count == 0)
        {
            errors.Add(
                $"{EndpointConfiguration.Endpoints}: has no endpoint. A file that is being written, or is missing, looks like this; "
                + "to stop all endpoints, stop the program.");
        }

        if (errors.Count > 0)
        {
            Reject(errors);
            return new ReloadReport(0, 0, 0, errors);
        }

        await using var transition = new EndpointTransition(_running, definitions);
        await transition.PrepareAsync(errors, cancellationToken).ConfigureAwait(false);
        if (errors.Count > 0)
        {
            // All or nothing, as at the start: changes may depend on each other.
            Reject(errors);
            return new ReloadReport(0, 0, 0, errors);
        }

        _settings = registry.ReadService();
        _limits.Change(_settings, definitions.Any(definition => definition.IsRelay));
        IReadOnlyList<RunningEndpoint> removed = transition.Removed;
        _running = transition.Commit();
        Publish();
        await _retired.AddAsync(transition, _reloading, _stopped.Token).ConfigureAwait(false);
        foreach (RunningEndpoint gone in removed)
        {
            HostingLog.EndpointRemoved(_logger, gone.Definition.Name);
        }

        foreach (EndpointDefinition definition in transition.Added)
        {
            HostingLog.EndpointAdded(_logger, definition.Name);
        }

        foreach (EndpointDefinition definition in transition.Changed)
        {
            HostingLog.EndpointChanged(_logger, definition.Name);
        }

        Announce(_running.Where(endpoint => transition.Moved.Contains(endpoint.Definition)));
        Record([]);
        ExtendShutdown();
        return new ReloadReport(transition.Added.Count, removed.Count, transition.Changed.Count, []);
    }

    /// <summary>Called before a change is logged, so that a reader of the log finds it done.</summary>
    private void Publish() => servers.Set([.. _running.Select(running => (running.Definition, running.Server))]);

    private void AnnounceStart()
    {
        foreach (string section in registry.Empty)
        {
            HostingLog.SectionMissing(_logger, section, EndpointRegistry.Hint(services.GetService<IConfiguration>()));
        }

        Announce(_running);
    }

    private void Announce(IEnumerable<RunningEndpoint> endpoints)
    {
        foreach (RunningEndpoint endpoint in endpoints)
        {
            announcer.Announce(endpoint.Definition.Describe(), endpoint.Server.EndPoints);
        }
    }

    private void Reject(IReadOnlyList<string> errors)
    {
        Record(errors);
        foreach (string error in errors)
        {
            HostingLog.ReloadRejected(_logger, error);
        }
    }

    /// <summary>Records that the configuration's sources could not be read.</summary>
    internal void RecordUnreadable(string reason) => Record([reason]);

    /// <summary>Keeps the outcome of the last read, for metrics and operators.</summary>
    private void Record(IReadOnlyList<string> errors) => _metrics.Reloaded(new ReloadOutcome(_time.GetUtcNow(), errors));

    private async Task FollowAsync()
    {
        while (await _changes.WaitAsync(_stopped.Token).ConfigureAwait(false))
        {
            await _reloading.WaitAsync(_stopped.Token).ConfigureAwait(false);
            try
            {
                if (_changes.TryTake())
                {
                    await ApplyAsync(_stopped.Token).ConfigureAwait(false);
                }
            }
            catch (Exception error) when (error is not OperationCanceledException || !_stopped.IsCancellationRequested)
            {
                // A provider that cannot read its file: the running configuration stays.
                HostingLog.ReloadFailed(_logger, error);
                Record([error.Message]);
            }
            finally
            {
                _reloading.Release();
            }
        }
    }
}

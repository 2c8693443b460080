using System.Collections.Concurrent;
using System.Net;
using System.Threading.Channels;
using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Connections;
using ByteStreams.Server;
using ByteStreams.Transport;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace ByteStreams.Hosting;

/// <summary>Starts the endpoints with the host, follows their configuration while they run, and drains them with the host.</summary>
internal sealed class ByteStreamsService(
    EndpointRegistry registry,
    ByteStreamServers servers,
    IServiceProvider services,
    ILoggerFactory loggerFactory,
    ConnectionTotal total,
    IEndpointAnnouncer announcer,
    IOptions<HostOptions> host) : IHostedLifecycleService, IDisposable, IAsyncDisposable
{
    /// <summary>What the host's other services have left of its shutdown time behind a drain that took all of its own.</summary>
    private static readonly TimeSpan ForOthers = TimeSpan.FromSeconds(10);

    /// <summary>
    /// A listener whose address was narrowed stays open for so long, for the clients whose handshake with it has begun: more than the round
    /// trip of nearly all networks.
    /// </summary>
    private static readonly TimeSpan Handshake = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time = services.GetService<TimeProvider>() ?? TimeProvider.System;
    private readonly ILogger _logger = loggerFactory.CreateLogger("ByteStreams.Hosting");

    /// <summary>Resolved now: the end of a start that was broken off comes after the services' own.</summary>
    private readonly ByteStreamMetrics _metrics = services.GetRequiredService<ByteStreamMetrics>();

    private readonly Drain _drain = new(
        servers, services.GetService<TimeProvider>() ?? TimeProvider.System, loggerFactory.CreateLogger("ByteStreams.Hosting"));

    private IReadOnlyList<RunningEndpoint> _running = [];

    /// <summary>Servers that listen no more, and whose connections live on.</summary>
    private readonly ConcurrentDictionary<ByteStreamServer, Task> _retired = new();

    private readonly List<IDisposable> _subscriptions = [];
    private readonly CancellationTokenSource _stopped = new();
    private ServiceSettings _settings = new();
    private readonly Channel<bool> _changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Held by who takes the configuration over, and for good by the drain.</summary>
    private readonly SemaphoreSlim _reloading = new(1);

    private Task _following = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // Before it is read: a change in between is then taken over behind the start.
        Listen();
        var errors = new List<string>();
        IReadOnlyList<EndpointPlan> plans = registry.Plan(services, loggerFactory, [], errors);
        _settings = registry.ReadService();
        bool relays = plans.Any(plan => plan.IsRelay);
        total.Change(_settings.MaxConnections, relays);
        BufferLimit.Process.Change(_settings.MaxBufferedBytes);
        await using (var start = new EndpointTransition([], plans))
        {
            // Also where there is an error already: to report addresses that cannot be bound together with it.
            await start.PrepareAsync(errors, cancellationToken).ConfigureAwait(false);
            if (errors.Count > 0)
            {
                // All or nothing: a service of which half is up looks well from outside.
                throw new EndpointConfigurationException(errors);
            }

            _running = start.Commit();
        }

        total.Measure(_settings.MaxConnections, relays);
        if (_settings.MaxConnections is null)
        {
            AdmissionLog.TotalDerived(_logger, total.Most, total.Capacity.Limit.Most, total.Capacity.AtRest, total.Capacity.Memory >> 20);
        }

        CheckTotal(relays);
        HostingLog.BufferLimitSet(_logger, BufferLimit.Process.Limit);
        ExtendShutdown();
        Publish();
        Record([]);
        servers.RunBy(this);
        servers.Advance(ByteStreamsState.Serving);
        _following = Task.Run(() => FollowAsync(), CancellationToken.None);
        if (services.GetService<IHostApplicationLifetime>() is IHostApplicationLifetime lifetime)
        {
            // When all services have started: the addresses are the last lines of a start.
            _subscriptions.Add(lifetime.ApplicationStarted.UnsafeRegister(static self => ((ByteStreamsService)self!).AnnounceStart(), this));
        }
        else
        {
            AnnounceStart();
        }
    }

    /// <summary>Drains here, and not when it is this service's turn to stop: the application's own HTTP side has to tell meanwhile that it is not ready.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        using CancellationTokenRegistration late = cancellationToken.UnsafeRegister(static drain => ((Drain)drain!).End(), _drain);
        await DrainAsync(abort: false).ConfigureAwait(false);
    }

    /// <summary>For hosts that know nothing of <see cref="IHostedLifecycleService"/>; elsewhere all is done by now.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => StoppingAsync(cancellationToken);

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>A host that was not stopped, because another of its services did not start, leaves nobody connected and no socket file behind.</summary>
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
        Unsubscribe();
        _stopped.Dispose();
        _drain.Dispose();
        _reloading.Dispose();
    }

    /// <summary>Begins the drain, or joins it.</summary>
    /// <param name="abort">Whether nobody is waited for, whoever has begun it.</param>
    internal Task<DrainReport> DrainAsync(bool abort)
    {
        // Also where the start was broken off and this is its end: whoever asks for it from now on joins it.
        servers.RunBy(this);
        if (abort)
        {
            _drain.Hurry();
        }

        return _drain.RunAsync(SettleAsync);
    }

    private async Task<DrainPlan> SettleAsync()
    {
        Unsubscribe();
        _metrics.Freeze();

        // A reload that is at work ends first: it may be starting a server.
        await _stopped.CancelAsync().ConfigureAwait(false);
        await _following.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _reloading.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        return new DrainPlan([.. _running.Select(running => running.Server), .. _retired.Keys], _settings.DrainDelay, _settings.DrainTimeout);
    }

    private void CheckTotal(bool relays)
    {
        int capacity = total.Capacity.Derive(relays);
        if (total.Most > capacity)
        {
            AdmissionLog.TotalTooHigh(_logger, total.Most, capacity, total.Capacity.Limit.Most);
        }
    }

    /// <summary>
    /// The host cuts everything at its own shutdown time, which the drain has to fit into. Who has set another than the default one, and
    /// says nothing of the drain, has decided.
    /// </summary>
    private void ExtendShutdown()
    {
        TimeSpan needed = _settings.DrainDelay + _settings.DrainTimeout + ForOthers;
        if (host.Value.ShutdownTimeout < needed && host.Value.ShutdownTimeout != Timeout.InfiniteTimeSpan
            && (_settings.SaysHowToDrain() || host.Value.ShutdownTimeout == new HostOptions().ShutdownTimeout))
        {
            host.Value.ShutdownTimeout = needed;
        }
    }

    /// <summary>Takes over the configuration and the certificates' files as they are now, whether or not they are known to have changed.</summary>
    /// <param name="read">Reads the configuration's sources anew. What it throws is thrown, and nothing has changed.</param>
    /// <exception cref="OperationCanceledException">The endpoints end.</exception>
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

            // The change that this has told is taken over here.
            _changes.Reader.TryRead(out _);
            _metrics.LookAtCertificates();
            return await TakeOverAsync(_stopped.Token).ConfigureAwait(false);
        }
        finally
        {
            _reloading.Release();
        }
    }

    /// <summary>Takes over the configuration as it is now. Nothing changes where it has a mistake (F46).</summary>
    private async Task<ReloadReport> TakeOverAsync(CancellationToken cancellationToken)
    {
        var errors = new List<string>();
        IReadOnlyList<EndpointPlan> plans = registry.Plan(services, loggerFactory, [.. _running.Select(running => running.Plan)], errors);
        if (_running.Any(running => running.Plan.IsConfigured) && !plans.Any(plan => plan.IsConfigured) && errors.Count == 0)
        {
            errors.Add(
                $"{EndpointConfiguration.Endpoints}: there is no endpoint any more. A file that is just being written, or gone, looks like this; "
                + "to end all endpoints, stop the program.");
        }

        if (errors.Count > 0)
        {
            Tell(errors);
            return new ReloadReport(0, 0, 0, errors.Count);
        }

        await using var transition = new EndpointTransition(_running, plans);
        await transition.PrepareAsync(errors, cancellationToken).ConfigureAwait(false);
        if (errors.Count > 0)
        {
            // All or nothing, as at the start: which of the changes depend on each other, only the operator knows.
            Tell(errors);
            return new ReloadReport(0, 0, 0, errors.Count);
        }

        _settings = registry.ReadService();
        bool relays = plans.Any(plan => plan.IsRelay);
        if (total.Change(_settings.MaxConnections, relays))
        {
            HostingLog.TotalChanged(_logger, total.Most);
            CheckTotal(relays);
        }

        if (BufferLimit.Process.Change(_settings.MaxBufferedBytes))
        {
            HostingLog.BufferLimitSet(_logger, BufferLimit.Process.Limit);
        }

        IReadOnlyList<RunningEndpoint> removed = transition.Removed;
        _running = transition.Commit();
        Publish();
        await RetireAsync(transition).ConfigureAwait(false);
        foreach (RunningEndpoint gone in removed)
        {
            HostingLog.EndpointRemoved(_logger, gone.Plan.Name);
        }

        foreach (EndpointPlan plan in transition.Added)
        {
            HostingLog.EndpointAdded(_logger, plan.Name);
        }

        foreach (EndpointPlan plan in transition.Changed)
        {
            HostingLog.EndpointChanged(_logger, plan.Name);
        }

        Announce(_running.Where(endpoint => transition.Moved.Contains(endpoint.Plan)));
        Record([]);
        ExtendShutdown();
        return new ReloadReport(transition.Added.Count, removed.Count, transition.Changed.Count, 0);
    }

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
            announcer.Announce(endpoint.Plan, endpoint.Server.EndPoints);
        }
    }

    /// <summary>Ends the servers and the listeners that a transition has replaced.</summary>
    private async Task RetireAsync(EndpointTransition transition)
    {
        foreach (ByteStreamServer replaced in transition.Retired)
        {
            Retire(replaced);
        }

        foreach (RunningEndpoint gone in transition.Removed)
        {
            Retire(gone.Server);
            gone.Server.RequestCloseClients();
        }

        foreach ((ByteStreamServer server, AcceptLoop loop, Func<EndPoint?, bool>? accepts) in transition.Ending)
        {
            if (accepts is null)
            {
                await EndAsync(server, loop).ConfigureAwait(false);
            }
            else
            {
                _ = EndLaterAsync(server, loop, accepts, _stopped.Token);
            }
        }
    }

    private static async Task EndAsync(ByteStreamServer server, AcceptLoop loop)
    {
        await loop.EndAsync().ConfigureAwait(false);
        server.Listeners.Forget(loop);
    }

    /// <summary>Not while a reload is at work, which may need the listener again. A host that stops closes it with its server.</summary>
    private async Task EndLaterAsync(ByteStreamServer server, AcceptLoop loop, Func<EndPoint?, bool> accepts, CancellationToken stopped)
    {
        try
        {
            await Task.Delay(Handshake, _time, stopped).ConfigureAwait(false);
            await _reloading.WaitAsync(stopped).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        try
        {
            if (!stopped.IsCancellationRequested && loop.IsEnding(accepts))
            {
                await EndAsync(server, loop).ConfigureAwait(false);
            }
        }
        finally
        {
            _reloading.Release();
        }
    }

    private void Tell(IReadOnlyList<string> mistakes)
    {
        Record(mistakes);
        foreach (string mistake in mistakes)
        {
            HostingLog.ConfigurationRefused(_logger, mistake);
        }
    }

    /// <summary>Keeps how the configuration was read, for metrics and operators.</summary>
    private void Record(IReadOnlyList<string> errors) => _metrics.Reloaded(new ReloadOutcome(_time.GetUtcNow(), errors));

    /// <summary>Ends the listeners at once, and all else of a server when its last connection has ended.</summary>
    private void Retire(ByteStreamServer server)
    {
        server.Close();
        _retired[server] = EndAsync();

        async Task EndAsync()
        {
            await Task.Yield();
            await server.WaitClosedAsync().ConfigureAwait(false);
            _retired.TryRemove(server, out _);
        }
    }

    /// <summary>Before the log tells of it: who has heard of a change finds it done.</summary>
    private void Publish() => servers.Set([.. _running.Select(running => (running.Plan, running.Server))]);

    /// <summary>Hears when a section changes. Changes that come while one is taken over are taken over together, behind it.</summary>
    private void Listen()
    {
        foreach (IConfiguration section in registry.Sections)
        {
            _subscriptions.Add(ChangeToken.OnChange(section.GetReloadToken, () => _changes.Writer.TryWrite(true)));
        }
    }

    private void Unsubscribe()
    {
        foreach (IDisposable subscription in _subscriptions)
        {
            subscription.Dispose();
        }
    }

    private async Task FollowAsync()
    {
        while (await _changes.Reader.WaitToReadAsync(_stopped.Token).ConfigureAwait(false))
        {
            await _reloading.WaitAsync(_stopped.Token).ConfigureAwait(false);
            try
            {
                if (_changes.Reader.TryRead(out _))
                {
                    await TakeOverAsync(_stopped.Token).ConfigureAwait(false);
                }
            }
            catch (Exception error) when (error is not OperationCanceledException || !_stopped.IsCancellationRequested)
            {
                // A provider that cannot read its file any more: what runs goes on running.
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

using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Threading.Channels;
using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Telemetry;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
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
    IOptions<HostOptions> host) : IHostedLifecycleService, IDisposable, IAsyncDisposable
{
    /// <summary>What the host's other services have left of its shutdown time behind a drain that took all of its own.</summary>
    private static readonly TimeSpan ForOthers = TimeSpan.FromSeconds(10);

    private readonly ILogger _logger = loggerFactory.CreateLogger("ByteStreams.Hosting");
    /// <summary>Resolved now: the end of a start that was broken off comes after the services' own.</summary>
    private readonly ByteStreamMetrics _metrics = services.GetRequiredService<ByteStreamMetrics>();

    private readonly Drain _drain = new(
        servers, services.GetService<TimeProvider>() ?? TimeProvider.System, loggerFactory.CreateLogger("ByteStreams.Hosting"));

    private readonly List<RunningEndpoint> _running = [];

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
        total.Change(_settings.MaxConnections, plans.Any(plan => plan.IsRelay));
        foreach (EndpointPlan plan in plans)
        {
            // Nothing will start where there is a mistake. Only whether addresses can be bound is still looked at, to tell it all at once.
            plan.Options.StartServing &= errors.Count == 0;
            if (await StartAsync(plan, errors, cancellationToken).ConfigureAwait(false) is ByteStreamServer server)
            {
                _running.Add(new RunningEndpoint(plan, server));
            }
        }

        if (errors.Count > 0)
        {
            // All or nothing: a service of which half is up looks well from outside.
            foreach (RunningEndpoint running in _running)
            {
                running.Server.AbortClients();
                await running.Server.DisposeAsync().ConfigureAwait(false);
            }

            _running.Clear();
            throw new EndpointConfigurationException(errors);
        }

        if (_settings.MaxConnections is null && total.Most > 0)
        {
            AdmissionLog.TotalDerived(_logger, total.Most, total.DescriptorLimit);
        }

        ExtendShutdown();
        Publish();
        Record([]);
        servers.RunBy(this);
        servers.Advance(ByteStreamsState.Serving);
        _following = Task.Run(() => FollowAsync(), CancellationToken.None);
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
        (int added, int removed, int changed) = (0, 0, 0);
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

        _settings = registry.ReadService();
        if (total.Change(_settings.MaxConnections, plans.Any(plan => plan.IsRelay)))
        {
            HostingLog.TotalChanged(_logger, total.Most);
        }

        foreach (RunningEndpoint gone in _running.Where(running => !plans.Any(plan => plan.IsNamed(running.Plan.Name))).ToArray())
        {
            _running.Remove(gone);
            Publish();
            Retire(gone.Server);
            gone.Server.RequestCloseClients();
            HostingLog.EndpointRemoved(_logger, gone.Plan.Name);
            removed++;
        }

        foreach (EndpointPlan plan in plans)
        {
            int index = _running.FindIndex(running => plan.IsNamed(running.Plan.Name));
            if (index < 0)
            {
                if (await StartAsync(plan, errors, cancellationToken).ConfigureAwait(false) is ByteStreamServer server)
                {
                    _running.Add(new RunningEndpoint(plan, server));
                    Publish();
                    HostingLog.EndpointAdded(_logger, plan.Name);
                    added++;
                }
            }
            else if (_running[index].Plan.Signature != plan.Signature)
            {
                _running[index] = await ChangeAsync(_running[index], plan, errors, cancellationToken).ConfigureAwait(false);
                Publish();
                if (ReferenceEquals(_running[index].Plan, plan))
                {
                    HostingLog.EndpointChanged(_logger, plan.Name);
                    changed++;
                }
            }
        }

        ExtendShutdown();
        Tell(errors);
        return new ReloadReport(added, removed, changed, errors.Count);
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
    private void Record(IReadOnlyList<string> errors) => _metrics.Reloaded(
        new ReloadOutcome((services.GetService<TimeProvider>() ?? TimeProvider.System).GetUtcNow(), errors));

    /// <summary>Changes an endpoint as gently as it can be done; returns what runs then.</summary>
    private async Task<RunningEndpoint> ChangeAsync(RunningEndpoint running, EndpointPlan plan, List<string> errors, CancellationToken cancellationToken)
    {
        if (plan.Url == running.Plan.Url && plan.ListeningSignature == running.Plan.ListeningSignature)
        {
            try
            {
                // The socket goes on listening, so that nobody is refused.
                running.Server.Reconfigure(plan.Handler, plan.Options);
            }
            catch (ArgumentException error)
            {
                // A certificate that was there a moment ago.
                errors.Add($"{plan.Path}: {error.Message}");
                return running;
            }

            return new RunningEndpoint(plan, running.Server);
        }

        bool samePlace = plan.Url == running.Plan.Url;
        if (samePlace)
        {
            Retire(running.Server);
        }

        if (await StartAsync(plan, errors, cancellationToken).ConfigureAwait(false) is ByteStreamServer changed)
        {
            if (!samePlace)
            {
                Retire(running.Server);
            }

            return new RunningEndpoint(plan, changed);
        }

        if (!samePlace)
        {
            return running;
        }

        // The place is free again, and the old one has been there before.
        return await StartAsync(running.Plan, errors, cancellationToken).ConfigureAwait(false) is ByteStreamServer back
            ? new RunningEndpoint(running.Plan, back)
            : running;
    }

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

    private static async Task<ByteStreamServer?> StartAsync(EndpointPlan plan, List<string> errors, CancellationToken cancellationToken)
    {
        try
        {
            return await ByteStreamServer.StartAsync(
                plan.Handler,
                await plan.Url.ResolveAsync(plan.Options, cancellationToken).ConfigureAwait(false),
                plan.Url.Descriptor is string name ? InheritedSockets.OfThisProcess.Open(name) : [],
                plan.Options,
                cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is AddressInUseException or IOException or SocketException or PlatformNotSupportedException)
        {
            errors.Add($"{plan.Path}:{nameof(EndpointSettings.Url)}: {error.Message}");
            return null;
        }
        catch (ArgumentException error)
        {
            errors.Add($"{plan.Path}: {error.Message}");
            return null;
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
            catch (Exception error) when (error is not OperationCanceledException)
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

    private sealed record RunningEndpoint(EndpointPlan Plan, ByteStreamServer Server);
}

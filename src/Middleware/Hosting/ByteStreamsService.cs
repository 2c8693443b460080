using System.Net.Sockets;
using System.Threading.Channels;
using ByteStreams.Admission;
using ByteStreams.Configuration;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace ByteStreams.Hosting;

/// <summary>Starts the endpoints with the host, follows their configuration while they run, and drains them with the host.</summary>
internal sealed class ByteStreamsService(
    EndpointRegistry registry, ByteStreamServers servers, IServiceProvider services, ILoggerFactory loggerFactory, ConnectionTotal total) : IHostedService, IDisposable
{
    private readonly ILogger _logger = loggerFactory.CreateLogger("ByteStreams.Hosting");
    private readonly List<RunningEndpoint> _running = [];

    /// <summary>Servers that listen no more, and whose connections live on.</summary>
    private readonly List<ByteStreamServer> _retired = [];

    private readonly List<IDisposable> _subscriptions = [];
    private readonly CancellationTokenSource _stopped = new();
    private Task _following = Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var errors = new List<string>();
        foreach (EndpointPlan plan in registry.Plan(services, loggerFactory))
        {
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

        if (registry.MaxConnections is null && total.Most > 0)
        {
            AdmissionLog.TotalDerived(_logger, total.Most, total.DescriptorLimit);
        }

        Publish();
        Follow();
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        foreach (IDisposable subscription in _subscriptions)
        {
            subscription.Dispose();
        }

        // A reload that is at work ends first: it may be starting a server.
        await _stopped.CancelAsync().ConfigureAwait(false);
        await _following.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Task.WhenAll(_running.Select(running => running.Server).Concat(_retired).Select(server => server.StopAsync(cancellationToken))).ConfigureAwait(false);
    }

    public void Dispose() => _stopped.Dispose();

    /// <summary>Takes over the configuration as it is now. Nothing changes where it has a mistake (F46).</summary>
    internal async Task ReloadAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<EndpointPlan> plans;
        try
        {
            plans = registry.Plan(services, loggerFactory);
        }
        catch (EndpointConfigurationException mistakes)
        {
            foreach (string mistake in mistakes.Errors)
            {
                HostingLog.ConfigurationRefused(_logger, mistake);
            }

            return;
        }

        foreach (RunningEndpoint removed in _running.Where(running => !plans.Any(plan => IsSame(plan, running.Plan))).ToArray())
        {
            _running.Remove(removed);
            Retire(removed.Server);
            removed.Server.RequestCloseClients();
            HostingLog.EndpointRemoved(_logger, removed.Plan.Name);
        }

        var errors = new List<string>();
        foreach (EndpointPlan plan in plans)
        {
            int index = _running.FindIndex(running => IsSame(plan, running.Plan));
            if (index < 0)
            {
                if (await StartAsync(plan, errors, cancellationToken).ConfigureAwait(false) is ByteStreamServer added)
                {
                    _running.Add(new RunningEndpoint(plan, added));
                    HostingLog.EndpointAdded(_logger, plan.Name);
                }
            }
            else if (_running[index].Plan.Signature != plan.Signature)
            {
                _running[index] = await ChangeAsync(_running[index], plan, errors, cancellationToken).ConfigureAwait(false);
            }
        }

        foreach (string error in errors)
        {
            HostingLog.ConfigurationRefused(_logger, error);
        }

        _retired.RemoveAll(server => server.ClientCount == 0);
        Publish();
    }

    private static bool IsSame(EndpointPlan left, EndpointPlan right) => string.Equals(left.Name, right.Name, StringComparison.OrdinalIgnoreCase);

    /// <summary>Changes an endpoint as gently as it can be done; returns what runs then.</summary>
    private async Task<RunningEndpoint> ChangeAsync(RunningEndpoint running, EndpointPlan plan, List<string> errors, CancellationToken cancellationToken)
    {
        if (plan.Url == running.Plan.Url && plan.ListeningSignature == running.Plan.ListeningSignature)
        {
            // The socket goes on listening, so that nobody is refused.
            running.Server.Reconfigure(plan.Handler, plan.Options);
            HostingLog.EndpointChanged(_logger, plan.Name);
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

            HostingLog.EndpointChanged(_logger, plan.Name);
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

    private void Retire(ByteStreamServer server)
    {
        server.Close();
        _retired.Add(server);
    }

    private static async Task<ByteStreamServer?> StartAsync(EndpointPlan plan, List<string> errors, CancellationToken cancellationToken)
    {
        try
        {
            return await ByteStreamServer.StartAsync(
                plan.Handler,
                await plan.Url.ResolveAsync(plan.Options, cancellationToken).ConfigureAwait(false),
                null,
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

    private void Publish() => servers.Set(_running.Select(running => new KeyValuePair<string, ByteStreamServer>(running.Plan.Name, running.Server)));

    /// <summary>Hears when a section changes. Changes that come while one is taken over are taken over together, behind it.</summary>
    private void Follow()
    {
        if (registry.Sections.Count == 0)
        {
            return;
        }

        var changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        foreach (IConfiguration section in registry.Sections)
        {
            _subscriptions.Add(ChangeToken.OnChange(section.GetReloadToken, () => changes.Writer.TryWrite(true)));
        }

        _following = Task.Run(async () =>
        {
            while (await changes.Reader.WaitToReadAsync(_stopped.Token).ConfigureAwait(false))
            {
                changes.Reader.TryRead(out _);
                try
                {
                    await ReloadAsync(_stopped.Token).ConfigureAwait(false);
                }
                catch (Exception error) when (error is not OperationCanceledException)
                {
                    // A provider that cannot read its file any more: what runs goes on running.
                    HostingLog.ReloadFailed(_logger, error);
                }
            }
        });
    }

    private sealed record RunningEndpoint(EndpointPlan Plan, ByteStreamServer Server);
}

using ByteStreams;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace StreamsHost.Admin;

/// <summary>
/// Collects the meters for <c>/metrics</c> and OTLP, with a new provider after an endpoint was removed: OpenTelemetry's SDK reports every label
/// set until its provider is disposed.
/// </summary>
internal sealed class MetricsExport : IHostedLifecycleService, IDisposable, IAsyncDisposable
{
    /// <summary>Longer than a reload takes to remove several endpoints; each new provider costs some milliseconds.</summary>
    private static readonly TimeSpan Delay = TimeSpan.FromMilliseconds(500);

    private readonly ByteStreamMonitor _monitor;
    private readonly MetricsExportOptions _options;
    private readonly IServiceProvider _services;
    private readonly ITimer _timer;
    private readonly Lock _gate = new();
    private Generation? _current;
    private bool _isDue;
    private bool _isDisposed;

    public MetricsExport(ByteStreamMonitor monitor, MetricsExportOptions options, IServiceProvider services, TimeProvider time)
    {
        _monitor = monitor;
        _options = options;
        _services = services;
        _timer = time.CreateTimer(static export => ((MetricsExport)export!).Renew(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Starts before the endpoints, so that no measurement is missed.</summary>
    public Task StartingAsync(CancellationToken cancellationToken)
    {
        Renew();
        _monitor.EndpointsChanged += OnEndpointsChanged;
        return Task.CompletedTask;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Waits for a renewal that is in progress: it uses services that are disposed next.</summary>
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        _monitor.EndpointsChanged -= OnEndpointsChanged;
        await _timer.DisposeAsync();
    }

    /// <summary>Responds to a scrape.</summary>
    public async Task ScrapeAsync(HttpContext context)
    {
        Generation generation;
        lock (_gate)
        {
            generation = _current!;
            generation.Users++;
        }

        try
        {
            await generation.Scrape!(context);
        }
        finally
        {
            Leave(generation);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _timer.DisposeAsync();
        Dispose();
    }

    public void Dispose()
    {
        _timer.Dispose();
        Generation? last;
        lock (_gate)
        {
            _isDisposed = true;
            last = _current;
            _current = null;
        }

        if (last is not null)
        {
            Leave(last);
        }
    }

    private void OnEndpointsChanged(EndpointChange change)
    {
        lock (_gate)
        {
            bool isOutgrown = _current is not null && _monitor.EndpointCount > _current.Limits.Endpoints;
            if (_isDue || _isDisposed || !(change == EndpointChange.Forgotten || isOutgrown))
            {
                return;
            }

            _isDue = true;
            _timer.Change(Delay, Timeout.InfiniteTimeSpan);
        }
    }

    private void Renew()
    {
        lock (_gate)
        {
            _isDue = false;
            if (_isDisposed)
            {
                return;
            }
        }

        var limits = CardinalityLimits.For(Math.Max(_monitor.EndpointCount, _options.Endpoints));
        MeterProvider provider = Build(limits);
        var renewed = new Generation(provider, _options.IsScraped ? Pipeline(provider) : null, limits);
        Generation? before;
        lock (_gate)
        {
            (before, _current) = _isDisposed ? (renewed, null) : (_current, renewed);
        }

        if (before is not null)
        {
            Leave(before);
        }
    }

    private MeterProvider Build(CardinalityLimits limits)
    {
        MeterProviderBuilder builder = Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(TelemetryExport.Describe)
            .AddMeter(TelemetryExport.Name, TelemetryExport.Runtime)
            .AddView(instrument => new MetricStreamConfiguration { CardinalityLimit = limits.Of(instrument) });
        if (_options.IsScraped)
        {
            builder.AddPrometheusExporter(options => options.ScrapeResponseCacheDurationMilliseconds = TelemetryExport.CacheMilliseconds);
        }

        if (_options.IsPushed)
        {
            builder.AddOtlpExporter();
        }

        return builder.Build();
    }

    private RequestDelegate Pipeline(MeterProvider provider) =>
        new ApplicationBuilder(_services).UseOpenTelemetryPrometheusScrapingEndpoint(provider, _ => true, null, null, null).Build();

    /// <summary>Disposes a provider when the last request that uses it has ended.</summary>
    private void Leave(Generation generation)
    {
        lock (_gate)
        {
            if (--generation.Users > 0)
            {
                return;
            }
        }

        generation.Provider.Dispose();
    }

    private sealed class Generation(MeterProvider provider, RequestDelegate? scrape, CardinalityLimits limits)
    {
        public MeterProvider Provider => provider;

        public RequestDelegate? Scrape => scrape;

        public CardinalityLimits Limits => limits;

        /// <summary>The export itself, and requests.</summary>
        public int Users { get; set; } = 1;
    }
}

/// <param name="IsScraped">Whether there is <c>/metrics</c>.</param>
/// <param name="IsPushed">Whether OTLP is configured.</param>
/// <param name="Endpoints">The number of configured endpoints.</param>
internal sealed record MetricsExportOptions(bool IsScraped, bool IsPushed, int Endpoints);

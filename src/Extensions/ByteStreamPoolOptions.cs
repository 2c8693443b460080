namespace ByteStreams;

/// <summary>
/// The options of a named client: a pool of connections to one service. The configuration section is <c>ByteStreamClients:NAME</c> with keys of
/// these names, and <c>Url</c>.
/// </summary>
public sealed class ByteStreamPoolOptions
{
    /// <summary>
    /// Where to connect to: <c>tcp://host:port</c>, <c>tls://host:port</c>, <c>unix:/path</c> or <c>unix:@name</c>. With service discovery the host is
    /// the name of the service, and the port is optional.
    /// </summary>
    public string Url { get; set; } = "";

    /// <summary>The most connections, rented and idle ones together: 8 by default, 1 to 10,000.</summary>
    public int MaxConnections { get; set; } = 8;

    /// <summary>
    /// How long a caller waits for a connection, connect attempts included: 30 s by default, greater than zero, or
    /// <see cref="Timeout.InfiniteTimeSpan"/>.
    /// </summary>
    public TimeSpan AcquireTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The timeout of one connect attempt, TLS handshake included: 5 s by default, greater than zero.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a failed connect is attempted again for one caller: 5 by default, 0 to 100.</summary>
    public int ConnectRetries { get; set; } = 5;

    /// <summary>
    /// The median delay before the first retry of a connect: 100 ms by default, greater than zero. It grows exponentially with jitter, up to
    /// <see cref="MaxRetryDelay"/>.
    /// </summary>
    public TimeSpan RetryDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest delay between two connect attempts of one caller: 5 s by default, at least <see cref="RetryDelay"/>.</summary>
    public TimeSpan MaxRetryDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long an idle connection is kept: 1 min by default, greater than zero, or <see cref="Timeout.InfiniteTimeSpan"/>.</summary>
    public TimeSpan MaxIdleTime { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// The age after which a connection is closed in place of returned: unlimited by default (<see cref="Timeout.InfiniteTimeSpan"/>), else greater
    /// than zero. Set it where addresses change, because an open connection stays where it is.
    /// </summary>
    public TimeSpan MaxLifetime { get; set; } = Timeout.InfiniteTimeSpan;

    /// <summary>The idle time after which <see cref="HealthCheck"/> runs before a connection is used again: 10 s by default, zero or more.</summary>
    public TimeSpan HealthCheckAfter { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Checks an idle connection before it is used again, such as by a ping of the protocol; false or an exception closes it. None by default: the
    /// pool detects EOF, resets and unexpected bytes on idle connections without it. Limited by <see cref="ConnectTimeout"/>. Not in configuration.
    /// </summary>
    public Func<ByteStreamConnection, CancellationToken, ValueTask<bool>>? HealthCheck { get; set; }

    /// <summary>
    /// Configures the connections: TLS (for <c>tls://</c>, .NET's defaults if not set), buffers, keep-alive, limits, and connection middleware such
    /// as <c>options.UseTimeouts(…)</c>. Called once. Not in configuration.
    /// </summary>
    public Action<ByteStreamClientOptions>? ConfigureConnection { get; set; }

    /// <summary>Set by <c>UseServiceDiscovery</c>.</summary>
    internal bool UsesServiceDiscovery { get; set; }

    /// <summary>Set by <c>UseResilience</c>; null for retries by the options.</summary>
    internal Action<Polly.ResiliencePipelineBuilder, IServiceProvider>? Resilience { get; set; }

    /// <summary>Errors of the configuration section, which validation reports.</summary>
    internal List<string> ConfigurationErrors { get; } = [];
}

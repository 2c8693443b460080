namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>A membership store and the hosts of a cluster.</summary>
internal sealed class Cluster : IAsyncDisposable
{
    private readonly List<HostProcess> _started = [];
    private readonly (string Key, string Value)[] _settings;

    private Cluster((string Key, string Value)[] settings) => _settings = settings;

    public RedisServer Redis { get; } = new();

    /// <summary>The hosts, in start order. A restarted host keeps its index.</summary>
    public HostProcess[] Hosts { get; private set; } = [];

    /// <summary>The hosts that were not signaled.</summary>
    public IEnumerable<HostProcess> Living => Hosts.Where(host => host.IsAlive);

    /// <summary>Starts hosts, and waits until all of them are ready and see each other as members.</summary>
    public static async Task<Cluster> StartAsync(int hosts = 3, params (string Key, string Value)[] settings)
    {
        var cluster = new Cluster(settings);
        try
        {
            await cluster.Redis.StartAsync();
            cluster.Hosts = [.. Enumerable.Range(0, hosts).Select(_ => cluster.Add(HostPorts.Free(), "bytestreams"))];
            await Task.WhenAll(cluster.Hosts.Select(host => host.ReadyAsync(hosts)));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts another host. Does not wait for readiness.</summary>
    /// <param name="first">The first registration, <c>bytestreams</c> or <c>orleans</c>.</param>
    public HostProcess StartMore(string first)
    {
        HostProcess host = Add(HostPorts.Free(), first);
        Hosts = [.. Hosts, host];
        return host;
    }

    /// <summary>Restarts a host that has exited, on the same ports.</summary>
    public async Task RestartAsync(int index)
    {
        HostProcess host = Add(Hosts[index].At, "bytestreams");
        await host.ReadyAsync(Hosts.Length);
        HostProcess[] hosts = [.. Hosts];
        hosts[index] = host;
        Hosts = hosts;
    }

    /// <summary>Returns the sum of a metric over the living hosts.</summary>
    public async Task<double> MetricAsync(string name, string? tag = null) =>
        (await Task.WhenAll(Living.Select(host => host.MetricAsync(name, tag)))).Sum();

    public async ValueTask DisposeAsync()
    {
        foreach (HostProcess host in _started)
        {
            await host.DisposeAsync();
        }

        await Redis.DisposeAsync();
    }

    private HostProcess Add(HostPorts ports, string first)
    {
        HostProcess host = HostProcess.Start(ports, Redis.Address, first, _settings);
        _started.Add(host);
        return host;
    }
}

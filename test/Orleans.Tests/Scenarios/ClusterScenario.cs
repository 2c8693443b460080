using System.Globalization;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>
/// A scenario with three host processes and a membership store. Counts cover connections on hosts that stay alive. Time limits are for an idle
/// machine, and are multiplied by the load of this machine.
/// </summary>
[Collection(nameof(ClusterScenario))]
public abstract class ClusterScenario : IAsyncLifetime
{
    private readonly List<IAsyncDisposable> _owned = [];

    protected ClusterScenario()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Requires Linux signals and sockets.");
        Assert.SkipUnless(File.Exists(RedisServer.Path), $"{RedisServer.Path} (Debian: redis-server) is missing.");
    }

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        if (TestContext.Current.TestState?.Result == TestResult.Failed)
        {
            foreach (HostProcess host in _owned.OfType<Cluster>().SelectMany(cluster => cluster.Hosts))
            {
                TestContext.Current.TestOutputHelper?.WriteLine($"Host {host.At}, last lines:\n{host}");
            }
        }

        for (int i = _owned.Count - 1; i >= 0; i--)
        {
            await _owned[i].DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    protected static Task PauseAsync(TimeSpan time) => Task.Delay(time, TestContext.Current.CancellationToken);

    /// <summary>Records a figure with the test result.</summary>
    protected static void Figure(FormattableString figure)
    {
        ArgumentNullException.ThrowIfNull(figure);
        string text = figure.ToString(CultureInfo.InvariantCulture);
        TestContext.Current.AddAttachment($"figure {Guid.NewGuid():N}", text);
        TestContext.Current.TestOutputHelper?.WriteLine(text);
    }

    /// <summary>Asserts that a duration is within a limit, multiplied by the load of this machine.</summary>
    protected static void AssertWithin(TimeSpan idle, TimeSpan took, string what)
    {
        TimeSpan limit = Patience.OnThisMachine(idle);
        Assert.True(took <= limit, string.Create(CultureInfo.InvariantCulture, $"{what} took {took.TotalMilliseconds:0} ms; the limit is {limit.TotalMilliseconds:0} ms."));
    }

    private protected static void AssertNothingLost(Figures figures)
    {
        Assert.True(figures.Deliveries > 0);
        Assert.True((figures.Lost, figures.Duplicated, figures.Reordered) == (0, 0, 0), figures.ToString());
    }

    private protected T Own<T>(T disposable)
        where T : IAsyncDisposable
    {
        _owned.Add(disposable);
        return disposable;
    }

    private protected async Task<Cluster> StartAsync(params (string Key, string Value)[] settings) => Own(await Cluster.StartAsync(3, settings));

    private protected async Task<Client> ConnectAsync(HostProcess host, string registration = "register", params string[] groups)
    {
        Client client = Own(await Client.ConnectAsync(host, registration));
        foreach (string group in groups)
        {
            await client.JoinAsync(group);
        }

        return client;
    }
}

/// <summary>Scenarios run sequentially, because each runs four processes and measures times.</summary>
[CollectionDefinition(nameof(ClusterScenario), DisableParallelization = true)]
public sealed class ClusterScenarios;

namespace Benchmarks.Cluster;

/// <summary>The grain observer of a host.</summary>
internal interface IHostObserver : IGrainObserver
{
    Task DeliverAsync(string group, byte[] message);
}

/// <summary>A grain for each group.</summary>
internal interface IGroupGrain : IGrainWithStringKey
{
    Task JoinAsync(IHostObserver host);

    Task SendAsync(byte[] message);
}

internal sealed class GroupGrain : Grain, IGroupGrain
{
    private readonly HashSet<IHostObserver> _hosts = [];

    public Task JoinAsync(IHostObserver host)
    {
        _hosts.Add(host);
        return Task.CompletedTask;
    }

    public Task SendAsync(byte[] message) => Task.WhenAll(_hosts.Select(host => host.DeliverAsync(this.GetPrimaryKeyString(), message)));
}

internal sealed class HostObserver(ByteStreams.ByteStreamConnections connections) : IHostObserver
{
    public Task DeliverAsync(string group, byte[] message) => connections.Group(group).SendAsync(message).AsTask();
}

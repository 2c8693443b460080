using ByteStreams.Cluster.Links;
using Microsoft.Extensions.Logging;
using Orleans.Runtime.Services;
using Orleans.Services;

namespace ByteStreams.Cluster;

/// <summary>What hosts call on each other: a service of Orleans, one on each host.</summary>
[Alias("ByteStreams.IHostLinkService")]
internal interface IHostLinkService : IGrainService
{
    /// <summary>Sends a batch. The sender has a time of its own, after which it sends the batch again.</summary>
    [Alias("Receive"), ResponseTimeout("00:00:10")]
    Task<LinkReply> ReceiveAsync(LinkBatch batch);

    /// <summary>Asks which connections a target has on this host.</summary>
    [Alias("Answer"), ResponseTimeout("00:00:30")]
    Task<PresenceAnswer[]> AnswerAsync(PresenceQuestion question);
}

/// <inheritdoc cref="IHostLinkService"/>
internal sealed class HostLinkService(GrainId id, Silo silo, ILoggerFactory loggers, ClusterBackplane backplane)
    : GrainService(id, silo, loggers), IHostLinkService
{
    // On the thread pool: this service has one thread at a time for all hosts, and a batch may go to many connections.
    public Task<LinkReply> ReceiveAsync(LinkBatch batch) => Task.Run(() => backplane.Receive(batch));

    public Task<PresenceAnswer[]> AnswerAsync(PresenceQuestion question) => Task.Run(() => backplane.Answer(question).Select(
        present => new PresenceAnswer { Id = present.Id, User = present.User, Metadata = present.Metadata.ToArray() }).ToArray());
}

/// <summary>Calls the services of other hosts.</summary>
internal sealed class HostLinkClient(IServiceProvider services) : GrainServiceClient<IHostLinkService>(services), ILinkTransport
{
    public Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch) => GetGrainService(host).ReceiveAsync(batch);

    public async Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question)
    {
        PresenceAnswer[] answers = await GetGrainService(host).AnswerAsync(question).ConfigureAwait(false);
        return [.. answers.Select(answer => new PresentConnection(answer.Id, answer.User, answer.Metadata))];
    }
}

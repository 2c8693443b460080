using ByteStreams.Cluster.Links;
using Microsoft.Extensions.Logging;
using Orleans.Runtime.Services;
using Orleans.Services;

namespace ByteStreams.Cluster;

/// <summary>The remote interface of a host: an Orleans grain service, one instance on each silo.</summary>
[Alias("ByteStreams.IHostLinkService")]
internal interface IHostLinkService : IGrainService
{
    /// <summary>Receives a batch. The sender resends after its own timeout, LinkRetry.</summary>
    [Alias("Receive"), ResponseTimeout("00:00:10")]
    Task<LinkReply> ReceiveAsync(LinkBatch batch);

    /// <summary>Returns the connections of a target on this host.</summary>
    [Alias("Answer"), ResponseTimeout("00:00:30")]
    Task<PresenceAnswer[]> AnswerAsync(PresenceQuestion question);
}

/// <inheritdoc cref="IHostLinkService"/>
internal sealed class HostLinkService(GrainId id, Silo silo, ILoggerFactory loggers, ClusterBackplane backplane)
    : GrainService(id, silo, loggers), IHostLinkService
{
    // On the thread pool, because a grain service is single-threaded and a batch may have many receivers.
    public Task<LinkReply> ReceiveAsync(LinkBatch batch) => Task.Run(() => backplane.Receive(batch));

    public Task<PresenceAnswer[]> AnswerAsync(PresenceQuestion question) => Task.Run(() => backplane.Answer(question).Select(
        present => new PresenceAnswer { Id = present.Id, User = present.User, Metadata = present.Metadata.ToArray() }).ToArray());
}

/// <summary>Calls the grain services of other hosts.</summary>
internal sealed class HostLinkClient(IServiceProvider services) : GrainServiceClient<IHostLinkService>(services), ILinkTransport
{
    public Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch) => GetGrainService(host).ReceiveAsync(batch);

    public async Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question)
    {
        PresenceAnswer[] answers = await GetGrainService(host).AnswerAsync(question).ConfigureAwait(false);
        return [.. answers.Select(answer => new PresentConnection(answer.Id, answer.User, answer.Metadata))];
    }
}

namespace ByteStreams.Cluster.Links;

/// <summary>Another host of the cluster.</summary>
/// <param name="Address">The host's address, including the process generation.</param>
/// <param name="HostId">The prefix of the host's connection ids.</param>
/// <param name="Outgoing">The link to the host.</param>
/// <param name="Incoming">The link from the host.</param>
internal sealed record Peer(SiloAddress Address, string HostId, OutgoingLink Outgoing, IncomingLink Incoming);

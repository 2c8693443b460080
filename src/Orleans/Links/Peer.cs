namespace ByteStreams.Cluster.Links;

/// <summary>Another host of the cluster.</summary>
/// <param name="Address">Its address, with the generation of its process.</param>
/// <param name="HostId">What the ids of its connections begin with.</param>
/// <param name="Outgoing">What this host sends to it.</param>
/// <param name="Incoming">What it sends to this host.</param>
internal sealed record Peer(SiloAddress Address, string HostId, OutgoingLink Outgoing, IncomingLink Incoming);

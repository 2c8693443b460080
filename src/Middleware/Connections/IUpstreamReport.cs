namespace ByteStreams.Connections;

/// <summary>A relay's upstreams, as metrics and status pages report them. The relay implements it.</summary>
internal interface IUpstreamReport
{
    IEnumerable<UpstreamSnapshot> Snapshots();
}

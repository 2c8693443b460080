namespace ByteStreams.Transport;

/// <summary>A connection that can follow the conventions of Kestrel's HTTP, see <see cref="ChannelConnection.FollowsKestrel"/>.</summary>
internal interface IKestrelConventions
{
    bool FollowsKestrel { get; set; }
}

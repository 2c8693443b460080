namespace ByteStreams.Transport;

/// <summary>A connection that can be as Kestrel's HTTP expects it, see <see cref="ChannelConnection.FollowsKestrel"/>.</summary>
internal interface IKestrelConventions
{
    bool FollowsKestrel { get; set; }
}

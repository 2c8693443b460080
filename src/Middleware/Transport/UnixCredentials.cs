namespace ByteStreams;

/// <summary>The process at the other end of a Unix socket when it connected (SO_PEERCRED, unix(7)). Linux only.</summary>
/// <param name="ProcessId">Its process id; 0 if it is not visible from this pid namespace.</param>
/// <param name="UserId">Its effective user id.</param>
/// <param name="GroupId">Its effective group id.</param>
public readonly record struct UnixCredentials(int ProcessId, uint UserId, uint GroupId);

/// <summary>The credentials of a connection's peer on a Unix socket.</summary>
internal interface IUnixPeerFeature
{
    /// <summary>Null if the connection is no Unix socket, or on a platform that does not report them.</summary>
    UnixCredentials? PeerCredentials { get; }
}

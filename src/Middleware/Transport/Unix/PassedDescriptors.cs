using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Unix;

/// <summary>
/// Descriptors that a peer passes along with its bytes over a Unix socket (unix(7), SCM_RIGHTS). This library has no use for them. Linux 6.16 and later
/// refuse them if asked (SO_PASSRIGHTS): the peer's send fails with EPERM. Before that the kernel closes them at the receive, which ends there although
/// more bytes may have arrived.
/// </summary>
internal static class PassedDescriptors
{
    /// <summary>Refuses them on a socket, and on the connections that a listening socket accepts from now on.</summary>
    /// <returns>Whether the system can do so.</returns>
    public static bool Refuse(int descriptor) => LibC.DisableOption(descriptor, SocketConstants.SolSocket, SocketConstants.SoPassRights) == 0;

    /// <summary>Whether a socket refuses them.</summary>
    public static bool AreRefused(int descriptor)
    {
        Span<byte> value = stackalloc byte[sizeof(int)];
        return LibC.GetOption(descriptor, SocketConstants.SolSocket, SocketConstants.SoPassRights, value) == 0 && BitConverter.ToInt32(value) == 0;
    }
}

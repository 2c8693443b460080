using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>Linux's error numbers (errno(3)), which x64 and arm64 share, as .NET's socket errors.</summary>
internal static class Errno
{
    public const int BadDescriptor = 9;
    public const int NotEnoughMemory = 12;
    public const int ConnectionReset = 104;
    public const int NoBuffers = 105;

    public static Exception ToConnectionException(int error) => SocketErrors.ToConnectionException(ToException(error));

    public static SocketException ToException(int error) => new((int)ToSocketError(error));

    public static SocketError ToSocketError(int error) => error switch
    {
        1 or 13 => SocketError.AccessDenied,
        2 => SocketError.AddressNotAvailable,
        4 => SocketError.Interrupted,
        BadDescriptor => SocketError.OperationAborted,
        11 => SocketError.WouldBlock,
        NotEnoughMemory or NoBuffers => SocketError.NoBufferSpaceAvailable,
        22 => SocketError.InvalidArgument,
        23 or 24 => SocketError.TooManyOpenSockets,
        32 => SocketError.Shutdown,
        71 => SocketError.ConnectionAborted,
        88 => SocketError.NotSocket,
        95 => SocketError.OperationNotSupported,
        98 => SocketError.AddressAlreadyInUse,
        99 => SocketError.AddressNotAvailable,
        100 => SocketError.NetworkDown,
        101 => SocketError.NetworkUnreachable,
        103 => SocketError.ConnectionAborted,
        ConnectionReset => SocketError.ConnectionReset,
        106 => SocketError.IsConnected,
        107 => SocketError.NotConnected,
        110 => SocketError.TimedOut,
        111 => SocketError.ConnectionRefused,
        112 => SocketError.HostDown,
        113 => SocketError.HostUnreachable,
        115 => SocketError.InProgress,
        _ => SocketError.SocketError,
    };

    /// <summary>
    /// An accept(2) passes on network errors of the connection that it would have returned; as its manual says, they are the
    /// client's and not the listener's.
    /// </summary>
    public static bool IsOfClient(int error) => error is 71 or 92 or 95 or 100 or 101 or 103 or 104 or 112 or 113 or 64;
}

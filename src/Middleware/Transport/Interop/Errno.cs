using System.Net.Sockets;

namespace ByteStreams.Transport.Interop;

/// <summary>Linux's error numbers (errno(3)), which x64 and arm64 share, as .NET's socket errors.</summary>
internal static class Errno
{
    public const int Interrupted = 4;
    public const int BadDescriptor = 9;
    public const int TryAgain = 11;
    public const int NotEnoughMemory = 12;
    public const int ConnectionReset = 104;
    public const int NoBuffers = 105;
    public const int InProgress = 115;

    private const int NotPermitted = 1;
    private const int NoSuchFile = 2;
    private const int AccessDenied = 13;
    private const int InvalidArgument = 22;
    private const int TooManyOpenInSystem = 23;
    private const int TooManyOpen = 24;
    private const int BrokenPipe = 32;
    private const int NotOnNetwork = 64;
    private const int ProtocolError = 71;
    private const int NotSocket = 88;
    private const int NoProtocolOption = 92;
    private const int NotSupported = 95;
    private const int AddressInUse = 98;
    private const int AddressNotAvailable = 99;
    private const int NetworkDown = 100;
    private const int NetworkUnreachable = 101;
    private const int ConnectionAborted = 103;
    private const int IsConnected = 106;
    private const int NotConnected = 107;
    private const int TimedOut = 110;
    private const int ConnectionRefused = 111;
    private const int HostDown = 112;
    private const int HostUnreachable = 113;

    public static SocketException ToException(int error) => new((int)ToSocketError(error));

    public static SocketError ToSocketError(int error) => error switch
    {
        NotPermitted or AccessDenied => SocketError.AccessDenied,
        NoSuchFile or AddressNotAvailable => SocketError.AddressNotAvailable,
        Interrupted => SocketError.Interrupted,
        BadDescriptor => SocketError.OperationAborted,
        TryAgain => SocketError.WouldBlock,
        NotEnoughMemory or NoBuffers => SocketError.NoBufferSpaceAvailable,
        InvalidArgument => SocketError.InvalidArgument,
        TooManyOpenInSystem or TooManyOpen => SocketError.TooManyOpenSockets,
        BrokenPipe => SocketError.Shutdown,
        NotSocket => SocketError.NotSocket,
        NotSupported => SocketError.OperationNotSupported,
        AddressInUse => SocketError.AddressAlreadyInUse,
        NetworkDown => SocketError.NetworkDown,
        NetworkUnreachable => SocketError.NetworkUnreachable,
        ProtocolError or ConnectionAborted => SocketError.ConnectionAborted,
        ConnectionReset => SocketError.ConnectionReset,
        IsConnected => SocketError.IsConnected,
        NotConnected => SocketError.NotConnected,
        TimedOut => SocketError.TimedOut,
        ConnectionRefused => SocketError.ConnectionRefused,
        HostDown => SocketError.HostDown,
        HostUnreachable => SocketError.HostUnreachable,
        InProgress => SocketError.InProgress,
        _ => SocketError.SocketError,
    };

    /// <summary>
    /// Whether an error of accept4(2) belongs to the pending connection and not to the listening socket. accept(2) lists these errors: the
    /// listener goes on.
    /// </summary>
    public static bool IsOfPendingConnection(int error) => error is NotOnNetwork or ProtocolError or NoProtocolOption or NotSupported
        or NetworkDown or NetworkUnreachable or ConnectionAborted or ConnectionReset or HostDown or HostUnreachable;
}

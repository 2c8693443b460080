namespace ByteStreams.Transport.Interop;

/// <summary>Linux's numbers of socket options (socket(7), tcp(7), unix(7)), for the options that the runtime has no name for.</summary>
internal static class SocketConstants
{
    public const int SolSocket = 1;
    public const int SoError = 4;
    public const int SoLinger = 13;
    public const int SoReusePort = 15;
    public const int SoPeerCred = 17;
    public const int SoAttachFilter = 26;
    public const int SoAcceptConn = 30;
    public const int SoCookie = 57;
    public const int SoBufferLock = 72;
    public const int SoPassRights = 83;

    public const int IpProtoIp = 0;
    public const int IpTransparent = 19;
    public const int IpProtoIpv6 = 41;
    public const int Ipv6Transparent = 75;

    public const int IpProtoTcp = 6;
    public const int TcpInfo = 11;
    public const int TcpUserTimeout = 18;

    public const byte TcpClose = 7;
    public const byte TcpCloseWait = 8;
    public const byte TcpLastAck = 9;
    public const byte TcpClosing = 11;

    public const int MacOSSolSocket = 0xFFFF;
    public const int MacOSSoReusePort = 0x0200;

    /// <summary>The size of struct ucred: process, user and group.</summary>
    public const int CredentialsSize = 12;

    /// <summary>The size of the largest address, struct sockaddr_in6.</summary>
    public const int AddressSize = 28;
}

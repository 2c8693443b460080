using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Sockets;

/// <summary>Applies <see cref="ByteStreamTransportOptions"/> to sockets.</summary>
internal static class SocketOptions
{
    /// <summary>Creates a socket that is ready to connect: bound, and with its buffers, which count only if set before the handshake.</summary>
    public static Socket Prepare(EndPoint endPoint, ByteStreamConnectOptions options)
    {
        var socket = new Socket(
            endPoint.AddressFamily, SocketType.Stream, endPoint is UnixDomainSocketEndPoint ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            SetBuffers(socket, options);
            if (options.LocalEndPoint is IPEndPoint local && endPoint is IPEndPoint)
            {
                socket.Bind(local);
            }

            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public static void SetBuffers(Socket socket, ByteStreamTransportOptions options)
    {
        if (options.ReceiveBufferSize is int receive)
        {
            socket.ReceiveBufferSize = receive;
        }

        if (options.SendBufferSize is int send)
        {
            socket.SendBufferSize = send;
        }
    }

    public static void Apply(Socket socket, ByteStreamTransportOptions options)
    {
        if (socket.AddressFamily == AddressFamily.Unix)
        {
            SetBuffers(socket, options);
            return;
        }

        socket.NoDelay = options.NoDelay;
        if (options.TcpUserTimeout is TimeSpan timeout)
        {
            SetUserTimeout(socket, timeout);
        }

        if (!options.KeepAlive)
        {
            return;
        }

        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        if (options.KeepAliveTime is TimeSpan time)
        {
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, (int)time.TotalSeconds);
        }

        if (options.KeepAliveInterval is TimeSpan interval)
        {
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, (int)interval.TotalSeconds);
        }

        if (options.KeepAliveCount is int count)
        {
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, count);
        }
    }

    /// <summary>Sets whether several sockets may listen on one port (SO_REUSEPORT, socket(7)).</summary>
    public static void SetReusePort(Socket socket, bool isOn)
    {
        Span<byte> value = stackalloc byte[sizeof(int)];
        MemoryMarshal.Write(value, isOn ? 1 : 0);
        if (OperatingSystem.IsLinux())
        {
            socket.SetRawSocketOption(SocketConstants.SolSocket, SocketConstants.SoReusePort, value);
        }
        else if (OperatingSystem.IsMacOS())
        {
            socket.SetRawSocketOption(SocketConstants.MacOSSolSocket, SocketConstants.MacOSSoReusePort, value);
        }
        else
        {
            throw new PlatformNotSupportedException("ReusePort needs Linux or macOS; leave it out on this system.");
        }
    }

    /// <summary>Bounds how long bytes may stay unacknowledged (TCP_USER_TIMEOUT, tcp(7)). Linux only; no effect elsewhere.</summary>
    private static void SetUserTimeout(Socket socket, TimeSpan timeout)
    {
        if (OperatingSystem.IsLinux())
        {
            Span<byte> milliseconds = stackalloc byte[sizeof(int)];
            MemoryMarshal.Write(milliseconds, (int)timeout.TotalMilliseconds);
            socket.SetRawSocketOption(SocketConstants.IpProtoTcp, SocketConstants.TcpUserTimeout, milliseconds);
        }
    }
}

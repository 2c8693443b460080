using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>Sets on a socket what <see cref="ByteStreamTransportOptions"/> asks for.</summary>
internal static class SocketOptions
{
    /// <summary>Makes a socket that is ready to be connected: bound and with its buffers, which count before the handshake only.</summary>
    public static Socket Prepare(EndPoint endPoint, ByteStreamClientOptions options)
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
            NativeSocket.SetUserTimeout(socket, timeout);
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
}

using System.Net.Sockets;

namespace ByteStreams.Transport;

/// <summary>Sets on a socket what <see cref="ByteStreamTransportOptions"/> asks for.</summary>
internal static class SocketOptions
{
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

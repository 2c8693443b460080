using System.Net;
using System.Net.Sockets;

namespace ByteStreams.Testing;

/// <summary>Ports of the loopback, for who must know one before anybody binds it.</summary>
public static class Ports
{
    /// <summary>
    /// A port that nobody uses, on 127.0.0.1 and 127.0.0.2 alike. It is none of those that systems hand out by themselves (from 32768 on
    /// Linux, from 49152 elsewhere): those may be a client's a moment later.
    /// </summary>
    /// <returns>The port, from 10,000 to 32,767.</returns>
    public static int Free()
    {
        while (true)
        {
            int port = Random.Shared.Next(10_000, 32_768);
            try
            {
                foreach (string address in OperatingSystem.IsMacOS() ? ["127.0.0.1"] : new[] { "127.0.0.1", "127.0.0.2" })
                {
                    using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    socket.Bind(new IPEndPoint(IPAddress.Parse(address), port));
                }

                return port;
            }
            catch (SocketException taken) when (taken.SocketErrorCode is SocketError.AddressAlreadyInUse or SocketError.AccessDenied)
            {
                // The next one.
            }
        }
    }

    /// <summary>A port of 127.0.0.1 that refuses connections until <paramref name="holder"/> is disposed, whatever others bind meanwhile.</summary>
    /// <param name="holder">Keeps the port bound; nobody listens on it.</param>
    /// <returns>The port.</returns>
    public static int Refusing(out Socket holder)
    {
        holder = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        holder.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)holder.LocalEndPoint!).Port;
    }
}

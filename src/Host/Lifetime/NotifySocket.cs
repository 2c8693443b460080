using System.Net.Sockets;
using System.Text;

namespace StreamsHost.Lifetime;

/// <summary>The socket on which systemd receives a service's state: NOTIFY_SOCKET, sd_notify(3).</summary>
internal sealed class NotifySocket
{
    private readonly UnixDomainSocketEndPoint? _address = Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is { Length: > 0 } path
        // A leading @ stands for the zero of the abstract namespace.
        ? new UnixDomainSocketEndPoint(path[0] == '@' ? $"\0{path[1..]}" : path)
        : null;

    /// <summary>Whether there is such a socket.</summary>
    public bool IsThere => _address is not null;

    /// <summary>Sends a state; without a socket it does nothing. It never blocks, because a receiver that does not read must not stop the host.</summary>
    /// <exception cref="SocketException">The receiver is gone, or its buffer is full.</exception>
    public void Send(string state)
    {
        if (_address is null)
        {
            return;
        }

        using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { Blocking = false };
        socket.Connect(_address);
        socket.Send(Encoding.UTF8.GetBytes(state));
    }
}

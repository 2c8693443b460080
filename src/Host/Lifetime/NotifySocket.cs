using System.Net.Sockets;
using System.Text;

namespace StreamsHost.Lifetime;

/// <summary>Where systemd listens for what a service tells of itself: NOTIFY_SOCKET, sd_notify(3).</summary>
internal sealed class NotifySocket
{
    private readonly UnixDomainSocketEndPoint? _address = Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is { Length: > 0 } path
        // A leading @ is the abstract namespace's zero.
        ? new UnixDomainSocketEndPoint(path[0] == '@' ? $"\0{path[1..]}" : path)
        : null;

    /// <summary>Whether anybody wants to be told.</summary>
    public bool IsThere => _address is not null;

    /// <summary>Sends a state, or does nothing where nobody wants to be told. It never waits: who does not listen must not hold up the host.</summary>
    /// <exception cref="SocketException">Nobody is there any more, or so many states are unread that there is no room.</exception>
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

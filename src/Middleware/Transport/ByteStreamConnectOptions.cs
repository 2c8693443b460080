using System.Net;
using System.Net.Sockets;

namespace ByteStreams;

/// <summary>The options of an outbound connection of this library's transports.</summary>
public class ByteStreamConnectOptions : ByteStreamTransportOptions
{
    /// <summary>
    /// The delay after which the next address is tried concurrently (RFC 8305): 250 ms by default. Zero or less, or
    /// <see cref="Timeout.InfiniteTimeSpan"/>, tries the addresses one after the other.
    /// </summary>
    public TimeSpan HappyEyeballsDelay { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>The timeout of name resolution and all connect attempts together. <see cref="Timeout.InfiniteTimeSpan"/>, the default, leaves it to the system.</summary>
    public TimeSpan ConnectTimeout { get; set; } = Timeout.InfiniteTimeSpan;

    /// <summary>The local address; its family restricts the remote addresses. Any by default.</summary>
    public IPEndPoint? LocalEndPoint { get; set; }

    /// <summary>The address family to which the host's addresses are restricted: <c>Unspecified</c> (both, the default), <c>InterNetwork</c> or <c>InterNetworkV6</c>.</summary>
    public AddressFamily AddressFamily { get; set; } = AddressFamily.Unspecified;

    internal override void Validate()
    {
        base.Validate();
        Validate(AddressFamily);
        if (ConnectTimeout <= TimeSpan.Zero && ConnectTimeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentException($"ConnectTimeout is {ConnectTimeout}; it must be greater than zero, or Timeout.InfiniteTimeSpan.");
        }

        if (AddressFamily != AddressFamily.Unspecified && LocalEndPoint is IPEndPoint local && local.AddressFamily != AddressFamily)
        {
            throw new ArgumentException($"LocalEndPoint {local} is not an address of the family {AddressFamily}; change one of the two.");
        }
    }
}

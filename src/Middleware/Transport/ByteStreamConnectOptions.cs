using System.Net;
using System.Net.Sockets;

namespace ByteStreams;

/// <summary>How a connection of this library's transports is opened and treated.</summary>
public class ByteStreamConnectOptions : ByteStreamTransportOptions
{
    /// <summary>
    /// How long one address may take before the next is tried beside it (RFC 8305): 250 ms by default. Zero or less, or
    /// <see cref="Timeout.InfiniteTimeSpan"/>, tries one after the other.
    /// </summary>
    public TimeSpan HappyEyeballsDelay { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>How long name resolution and all attempts together may take. <see cref="Timeout.InfiniteTimeSpan"/>, the default, leaves it to the system.</summary>
    public TimeSpan ConnectTimeout { get; set; } = Timeout.InfiniteTimeSpan;

    /// <summary>The address to connect from; its family restricts the addresses that are tried. Any by default.</summary>
    public IPEndPoint? LocalEndPoint { get; set; }

    /// <summary>The family to which the host's addresses are restricted: unspecified (both) by default, else InterNetwork or InterNetworkV6.</summary>
    public AddressFamily AddressFamily { get; set; } = AddressFamily.Unspecified;

    internal override void Validate()
    {
        base.Validate();
        Validate(AddressFamily);
        if (ConnectTimeout <= TimeSpan.Zero && ConnectTimeout != Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentException("ConnectTimeout is greater than zero, or Timeout.InfiniteTimeSpan for none.");
        }

        if (AddressFamily != AddressFamily.Unspecified && LocalEndPoint is IPEndPoint local && local.AddressFamily != AddressFamily)
        {
            throw new ArgumentException($"LocalEndPoint {local} is no address of the family {AddressFamily}; change one of the two.");
        }
    }
}

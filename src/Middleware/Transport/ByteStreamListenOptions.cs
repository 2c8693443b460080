using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>How a listener of this library's transports binds, and how its connections are treated.</summary>
public class ByteStreamListenOptions : ByteStreamTransportOptions
{
    private int _backlog = 512;

    internal static new OptionRanges<ByteStreamListenOptions> Ranges { get; } = new(
        new NumberOption<ByteStreamListenOptions>(nameof(Backlog), NumberRange.AtLeastOne, o => o.Backlog));

    /// <summary>The name under which the server logs. Its addresses, where none is given.</summary>
    public string? Name { get; set; }

    /// <summary>
    /// Connections that the kernel keeps until they are accepted: 512 by default, at least 1. The system's own cap
    /// (<c>net.core.somaxconn</c> on Linux) applies as well.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Zero or less.</exception>
    public int Backlog
    {
        get => _backlog;
        set
        {
            NumberRange.AtLeastOne.ThrowIfOutside(value);
            _backlog = value;
        }
    }

    /// <summary>
    /// Whether an address in TIME_WAIT can be bound at once after a restart (SO_REUSEADDR). True by default; never set on Windows,
    /// where it would let another program take the port.
    /// </summary>
    public bool ReuseAddress { get; set; } = true;

    /// <summary>Whether several processes may listen on the same port (SO_REUSEPORT). False by default; Linux and macOS only.</summary>
    public bool ReusePort { get; set; }

    /// <summary>Whether a listener on <c>[::]</c> leaves IPv4 alone. False by default: one listener serves both families.</summary>
    public bool IPv6Only { get; set; }

    /// <summary>The family to which a host's addresses are restricted: unspecified (both) by default, else InterNetwork or InterNetworkV6.</summary>
    public AddressFamily AddressFamily { get; set; } = AddressFamily.Unspecified;

    /// <summary>The mode of a Unix socket's file, set before the first client can connect. Null, the default, leaves it to the umask.</summary>
    public UnixFileMode? UnixSocketMode { get; set; }

    /// <summary>The group of a Unix socket's file, by name or number, set before the first client can connect. Null leaves it.</summary>
    public string? UnixSocketGroup { get; set; }

    /// <summary>The use that the descriptors of accepted connections count as.</summary>
    internal DescriptorUse DescriptorUse { get; set; }

    /// <summary>Counts connections that are refused at accept, and failed accepts; null counts nothing.</summary>
    internal virtual IListenerObserver? ListenerObserver => null;

    internal override void Validate()
    {
        base.Validate();
        ValidationErrors.ThrowIfAny(Ranges.Validate(this));
        Validate(AddressFamily);
    }
}

using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;

namespace ByteStreams;

/// <summary>
/// Whose PROXY headers are believed, and how they are received. Every connection has to come from a trusted network and to begin
/// with a valid header of version 1 or 2; it is never guessed whether one is there.
/// </summary>
public sealed class ProxyProtocolOptions
{
    /// <summary>
    /// The networks of the proxies, such as <c>10.0.0.0/8</c> or <c>::1</c>; <c>unix</c> stands for whoever may connect to a Unix
    /// socket. Required: whoever else may send a header may claim to be anybody.
    /// </summary>
    public IList<string> TrustedNetworks { get; } = [];

    /// <summary>
    /// How long the whole header may take from the accept on: 5 s by default, greater than zero. An AWS Network Load Balancer sends it with the
    /// client's first bytes by default: allow as long as a client may be silent.
    /// </summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The longest header of version 2 that is taken, in bytes: 4,096 by default, 16 to 65,551.</summary>
    public int MaxHeaderBytes { get; set; } = 4096;

    /// <exception cref="ArgumentException">Anything is wrong; the message tells it all.</exception>
    internal void Validate() => Mistake.ThrowIfAny(Mistakes());

    /// <summary>What is wrong; each begins with its key.</summary>
    internal IEnumerable<string> Mistakes()
    {
        if (TrustedNetworks.Count == 0)
        {
            yield return "ProxyProtocol:TrustedNetworks is empty: name the networks of the proxies, such as 10.0.0.0/8, or unix.";
        }

        foreach (string mistake in NetworkList.Mistakes(TrustedNetworks, "ProxyProtocol:TrustedNetworks"))
        {
            yield return mistake;
        }

        if (Timeout <= TimeSpan.Zero)
        {
            yield return "ProxyProtocol:Timeout is greater than zero.";
        }

        if (MaxHeaderBytes is < ProxyProtocol.ProxyHeaderReader.FixedLength or > ProxyProtocol.ProxyHeaderReader.FixedLength + ushort.MaxValue)
        {
            yield return "ProxyProtocol:MaxHeaderBytes is 16 to 65,551.";
        }
    }
}

using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>
/// Trusted proxies, and limits of PROXY headers. Every connection must come from a trusted network and begin with a valid header of
/// version 1 or 2; a connection without a header is rejected.
/// </summary>
public sealed class ProxyProtocolOptions
{
    internal static OptionRanges<ProxyProtocolOptions> Ranges { get; } = new(
        new DurationOption<ProxyProtocolOptions>(nameof(Timeout), DurationRange.Positive, o => o.Timeout),
        new NumberOption<ProxyProtocolOptions>(
            nameof(MaxHeaderBytes),
            new(ProxyProtocol.ProxyHeaderFormat.FixedLength, ProxyProtocol.ProxyHeaderFormat.FixedLength + ushort.MaxValue),
            o => o.MaxHeaderBytes));

    /// <summary>
    /// The networks of the proxies, such as <c>10.0.0.0/8</c> or <c>::1</c>; <c>unix</c> allows all peers of a Unix socket. Required,
    /// because a peer that may send a header can claim any client address.
    /// </summary>
    public IList<string> TrustedNetworks { get; } = [];

    /// <summary>
    /// The timeout for the whole header, from the accept: 5 s by default, greater than zero. An AWS Network Load Balancer sends the header with
    /// the client's first bytes by default: allow as long as a client may be silent.
    /// </summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The maximum length of a version 2 header in bytes: 4,096 by default, 16 to 65,551.</summary>
    public int MaxHeaderBytes { get; set; } = 4096;

    /// <exception cref="ArgumentException">The options are not valid; the message has all errors.</exception>
    internal void Validate() => ValidationErrors.ThrowIfAny(GetErrors());

    /// <summary>Returns the validation errors. Each begins with its key.</summary>
    internal IEnumerable<string> GetErrors()
    {
        if (TrustedNetworks.Count == 0)
        {
            yield return "ProxyProtocol:TrustedNetworks is empty. Add the networks of the proxies, such as 10.0.0.0/8, or unix.";
        }

        foreach (string error in NetworkList.GetErrors(TrustedNetworks, "ProxyProtocol:TrustedNetworks"))
        {
            yield return error;
        }

        foreach (string error in Ranges.Validate(this, "ProxyProtocol:"))
        {
            yield return error;
        }
    }
}

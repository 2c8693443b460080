using ByteStreams.Admission;
using ByteStreams.Transport.Addresses;

namespace ByteStreams.Hosting;

/// <summary>An endpoint that was found to be in order.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">How messages name it.</param>
/// <param name="Url">Where it listens.</param>
/// <param name="Handler">What serves it.</param>
/// <param name="Options">How, with the middleware that surrounds it.</param>
/// <param name="Signature">Everything that configuration says of it: the same text, the same endpoint.</param>
/// <param name="ListeningSignature">The part that a socket which listens cannot change any more.</param>
/// <param name="Admission">Its places and rates; null where nothing is limited.</param>
/// <param name="AdmissionSignature">The part that says how they are.</param>
internal sealed record EndpointPlan(
    string Name,
    string Path,
    EndpointUrl Url,
    ByteStreamDelegate Handler,
    ByteStreamServerOptions Options,
    string Signature,
    string ListeningSignature,
    AdmissionControl? Admission,
    string AdmissionSignature)
{
    /// <summary>Its TLS; null where it speaks none.</summary>
    public TlsServerOptions? Tls { get; init; }

    /// <summary>The TLS of a relay towards its upstreams; null where no upstream speaks it.</summary>
    public TlsClientOptions? UpstreamTls { get; init; }

    /// <summary>Where its connections are passed on to; null where a handler serves them.</summary>
    public RelayOptions? Relay { get; init; }

    /// <summary>Whether each of its connections has one to an upstream.</summary>
    public bool IsRelay => Relay is not null;

    /// <summary>Whether it comes from configuration, and not from code.</summary>
    public bool IsConfigured => Signature.Length > 0;

    public bool IsNamed(string name) => string.Equals(Name, name, StringComparison.OrdinalIgnoreCase);
}

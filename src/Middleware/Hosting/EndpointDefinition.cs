using ByteStreams.Admission;

namespace ByteStreams.Hosting;

/// <summary>A validated endpoint.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Path">Its name in errors.</param>
/// <param name="Url">Its URL.</param>
/// <param name="Handler">Its handler.</param>
/// <param name="Options">Its options, with its connection middleware.</param>
/// <param name="Signature">Its configuration as text: endpoints with equal text are equal.</param>
/// <param name="ListeningSignature">The part whose change needs a new listener.</param>
/// <param name="Admission">Its permits and rates; null if nothing is limited.</param>
/// <param name="AdmissionSignature">The part that configures them.</param>
internal sealed record EndpointDefinition(
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
    /// <summary>Its TLS; null if it has none.</summary>
    public TlsServerOptions? Tls { get; init; }

    /// <summary>The TLS of a relay to its upstreams; null if no upstream has TLS.</summary>
    public TlsClientOptions? UpstreamTls { get; init; }

    /// <summary>The relay that serves it; null for another handler.</summary>
    public RelayOptions? Relay { get; init; }

    /// <summary>Whether each connection has an upstream connection.</summary>
    public bool IsRelay => Relay is not null;

    /// <summary>Whether it was configured, and not added in code.</summary>
    public bool IsConfigured => Signature.Length > 0;

    public bool IsNamed(string name) => string.Equals(Name, name, StringComparison.OrdinalIgnoreCase);

    /// <summary>The endpoint for programs that host it, without its certificates.</summary>
    public EndpointDescription Describe() => new(Name, Url.ToString(), Options.HandlerName!)
    {
        IsTls = Tls is not null,
        ClientCertificates = Tls?.ClientCertificates ?? ClientCertificates.None,
    };
}

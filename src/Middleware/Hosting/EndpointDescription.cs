namespace ByteStreams;

/// <summary>A valid endpoint, as it is served or would be.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Url">Its URL, such as <c>tcp://127.0.0.1:7007</c>.</param>
/// <param name="Handler">The name of its handler.</param>
public sealed record EndpointDescription(string Name, string Url, string Handler)
{
    /// <summary>Whether clients speak TLS.</summary>
    public bool IsTls { get; init; }

    /// <summary>Whether clients are asked for certificates; <see cref="ClientCertificates.None"/> without TLS.</summary>
    public ClientCertificates ClientCertificates { get; init; }

    /// <summary>Its certificates, as they were read for the validation; empty without TLS and in announcements.</summary>
    public IReadOnlyList<CertificateSnapshot> Certificates { get; init; } = [];
}

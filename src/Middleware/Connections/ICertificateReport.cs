namespace ByteStreams.Connections;

/// <summary>An endpoint's certificates, as metrics and status pages report them. TLS implements it.</summary>
internal interface ICertificateReport
{
    /// <summary>Why the file of the clients' authorities cannot be used; null if it can.</summary>
    string? AuthoritiesError { get; }

    /// <summary>What reloads the certificates' files; endpoints share it.</summary>
    ICertificateReloader Reloader { get; }

    IEnumerable<CertificateSnapshot> Snapshots();
}

/// <summary>Reloads certificate files that have changed.</summary>
internal interface ICertificateReloader
{
    /// <summary>Looks for changes now, in addition to once a second.</summary>
    void Look();
}

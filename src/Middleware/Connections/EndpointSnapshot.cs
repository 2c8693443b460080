using System.Net;

namespace ByteStreams;

/// <summary>An endpoint as it was at one moment. Its counts go back to the start of the program, over every change of its configuration.</summary>
public sealed record EndpointSnapshot
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Where it was asked to listen; null where it is not one of the application's endpoints, or is one no more.</summary>
    public string? Url { get; init; }

    /// <summary>The addresses that it listens on; none while it does not.</summary>
    public IReadOnlyList<EndPoint> Addresses { get; init; } = [];

    /// <summary>The name of what serves it.</summary>
    public string? Handler { get; init; }

    /// <summary>Whether it takes connections.</summary>
    public bool IsServing { get; init; }

    /// <summary>Connections that are open.</summary>
    public int Active { get; init; }

    /// <summary>TLS handshakes in progress.</summary>
    public int Handshakes { get; init; }

    /// <summary>Connections that were accepted, refused ones included.</summary>
    public long Accepted { get; init; }

    /// <summary>Those of them that were refused.</summary>
    public long Refused { get; init; }

    /// <summary>Bytes received by all of its connections, as they are on the medium.</summary>
    public long BytesReceived { get; init; }

    /// <summary>Bytes sent by all of its connections.</summary>
    public long BytesSent { get; init; }

    /// <summary>How many connections have ended, by reason. Refusals are reasons as well.</summary>
    public IReadOnlyDictionary<ConnectionEndReason, long> Ended { get; init; } = new Dictionary<ConnectionEndReason, long>();

    /// <summary>Its certificates.</summary>
    public IReadOnlyList<CertificateSnapshot> Certificates { get; init; } = [];

    /// <summary>Why the file of its clients' authorities cannot be used since it was changed; null if it can. The last good ones stay.</summary>
    public string? ClientAuthoritiesError { get; init; }

    /// <summary>Where it passes connections on to, if it is a relay.</summary>
    public IReadOnlyList<UpstreamSnapshot> Upstreams { get; init; } = [];
}

/// <summary>A certificate that an endpoint shows.</summary>
/// <param name="Subject">Its common name, else its first host name.</param>
/// <param name="NotAfter">When it expires.</param>
public sealed record CertificateSnapshot(string Subject, DateTimeOffset NotAfter)
{
    /// <summary>Why its file cannot be used since it was changed; null if it can. This certificate is the last good one, and stays.</summary>
    public string? Error { get; init; }
}

/// <summary>A place that a relay passes connections on to.</summary>
/// <param name="Name">As it is configured.</param>
/// <param name="Active">Connections that are open, or being opened.</param>
/// <param name="IsHealthy">Whether its health checks succeed; true without any.</param>
/// <param name="IsEjected">Whether it gets no connections for a while, because too many have failed.</param>
public sealed record UpstreamSnapshot(string Name, int Active, bool IsHealthy, bool IsEjected);

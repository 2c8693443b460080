using System.Net;

namespace ByteStreams;

/// <summary>An endpoint at one moment. Its counters begin at the start of the program, and continue over every change of its configuration.</summary>
public sealed record EndpointSnapshot
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>The configured URL; null where it is not, or no longer, one of the application's endpoints.</summary>
    public string? Url { get; init; }

    /// <summary>The addresses that it listens on; empty while it does not listen.</summary>
    public IReadOnlyList<EndPoint> Addresses { get; init; } = [];

    /// <summary>The handler's name.</summary>
    public string? Handler { get; init; }

    /// <summary>Whether it accepts connections.</summary>
    public bool IsServing { get; init; }

    /// <summary>Open connections.</summary>
    public int Active { get; init; }

    /// <summary>TLS handshakes in progress.</summary>
    public int Handshakes { get; init; }

    /// <summary>Connections that were accepted, refused ones included.</summary>
    public long Accepted { get; init; }

    /// <summary>Accepted connections that were refused.</summary>
    public long Refused { get; init; }

    /// <summary>Bytes received by the transport of all of its connections.</summary>
    public long BytesReceived { get; init; }

    /// <summary>Bytes sent by all of its connections.</summary>
    public long BytesSent { get; init; }

    /// <summary>Closed connections by reason. Refusals are reasons as well.</summary>
    public IReadOnlyDictionary<ConnectionCloseReason, long> Ended { get; init; } = new Dictionary<ConnectionCloseReason, long>();

    /// <summary>Its certificates.</summary>
    public IReadOnlyList<CertificateSnapshot> Certificates { get; init; } = [];

    /// <summary>Why the file of its clients' authorities cannot be used since it was changed; null if it can. The last good ones stay.</summary>
    public string? ClientAuthoritiesError { get; init; }

    /// <summary>The upstreams of a relay.</summary>
    public IReadOnlyList<UpstreamSnapshot> Upstreams { get; init; } = [];
}

/// <summary>A certificate of an endpoint.</summary>
/// <param name="Subject">Its common name, else its first host name.</param>
/// <param name="NotAfter">When it expires.</param>
public sealed record CertificateSnapshot(string Subject, DateTimeOffset NotAfter)
{
    /// <summary>Why its file cannot be used since it was changed; null if it can. This certificate is the last good one, and stays.</summary>
    public string? Error { get; init; }
}

/// <summary>An upstream of a relay.</summary>
/// <param name="Name">Its name, as configured.</param>
/// <param name="Active">Open connections, and those that are being opened.</param>
/// <param name="IsHealthy">Whether its health checks succeed; true without any.</param>
/// <param name="IsEjected">Whether it gets no connections for some time, because too many have failed.</param>
public sealed record UpstreamSnapshot(string Name, int Active, bool IsHealthy, bool IsEjected);

namespace ByteStreams;

/// <summary>The load balancing policy of a relay with several upstreams.</summary>
public enum LoadBalancing
{
    /// <summary>The upstream with the fewest connections of this relay; round-robin among equals.</summary>
    LeastConnections,

    /// <summary>Each upstream in dispatch.</summary>
    RoundRobin,

    /// <summary>
    /// The upstream with fewer connections of two that are chosen at random. If many relays share the same upstreams, they do not all choose
    /// the same one, as with <see cref="LeastConnections"/> (Mitzenmacher, "The Power of Two Choices", 2001).
    /// </summary>
    PowerOfTwoChoices,
}

namespace ByteStreams;

/// <summary>Which of several upstreams gets a connection.</summary>
public enum LoadBalancing
{
    /// <summary>The one with the fewest connections of this relay; among equals, one after the other.</summary>
    LeastConnections,

    /// <summary>One after the other.</summary>
    RoundRobin,

    /// <summary>
    /// The less loaded of two that are drawn at random. Where many relays share the same upstreams they do not all choose the same one,
    /// as they would by the fewest connections (Mitzenmacher, "The Power of Two Choices", 2001).
    /// </summary>
    RandomOfTwo,
}

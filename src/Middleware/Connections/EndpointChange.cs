namespace ByteStreams;

/// <summary>A change of the endpoints that <see cref="ByteStreamMonitor"/> knows.</summary>
public enum EndpointChange
{
    /// <summary>An endpoint has got a server.</summary>
    Added,

    /// <summary>An endpoint has no server and no connection any more; its counts are forgotten.</summary>
    Forgotten,
}

namespace ByteStreams;

/// <summary>Whether upstreams are told who the client is.</summary>
public enum SendProxyHeader
{
    /// <summary>They are not.</summary>
    None,

    /// <summary>By the line of the PROXY protocol's version 1: addresses of TCP clients only.</summary>
    V1,

    /// <summary>By the binary header of version 2, with the additions that a header brought here.</summary>
    V2,
}

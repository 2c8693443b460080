namespace ByteStreams;

/// <summary>The PROXY header that a relay sends to its upstreams.</summary>
public enum SendProxyHeader
{
    /// <summary>No header.</summary>
    None,

    /// <summary>Version 1, a text line: the addresses of TCP clients only.</summary>
    V1,

    /// <summary>Version 2, binary, with the TLVs of a received header.</summary>
    V2,
}

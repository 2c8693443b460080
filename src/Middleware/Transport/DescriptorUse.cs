namespace ByteStreams.Transport;

/// <summary>The use of a descriptor. Each use keeps its own distance from the process's limit, in this order.</summary>
internal enum DescriptorUse
{
    /// <summary>A client's connection.</summary>
    Accept,

    /// <summary>An outgoing connection: a relay's upstream, a health check, a client of the program's own.</summary>
    Connect,

    /// <summary>A connection to the host's HTTP side: health, metrics and the status page answer during a shortage.</summary>
    Administration,
}

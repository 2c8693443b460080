namespace ByteStreams.Server;

/// <summary>What a listener is to the server that has it.</summary>
internal enum AcceptLoopRole
{
    /// <summary>It has one of the server's addresses.</summary>
    Announced,

    /// <summary>
    /// Its address lies within one of the server's, which was widened by a reload (127.0.0.1 to 0.0.0.0): it is kept, because its clients
    /// would be reset by its end.
    /// </summary>
    Covered,

    /// <summary>Its address was narrowed by a reload: it accepts what its queue still gets for the server's addresses, and is closed then.</summary>
    Ending,
}

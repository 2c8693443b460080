namespace ByteStreams.Connections;

/// <summary>The group counters of the meter.</summary>
internal interface IGroupsReport
{
    /// <summary>The number of registered connections.</summary>
    int Registered { get; }

    /// <summary>The number of groups with at least one member.</summary>
    int Groups { get; }

    /// <summary>Messages sent; a message counts once.</summary>
    long Sends { get; }

    /// <summary>Messages delivered; a message counts once for each connection.</summary>
    long Deliveries { get; }
}

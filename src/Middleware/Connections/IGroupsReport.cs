namespace ByteStreams.Connections;

/// <summary>What the connections that others send to report to the meter.</summary>
internal interface IGroupsReport
{
    /// <summary>Registered connections.</summary>
    int Registered { get; }

    /// <summary>Groups that have a member.</summary>
    int Groups { get; }

    /// <summary>Messages sent, each counted once.</summary>
    long Sends { get; }

    /// <summary>Messages written, each counted once for each connection.</summary>
    long Deliveries { get; }
}

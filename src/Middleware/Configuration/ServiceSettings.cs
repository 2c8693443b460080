namespace ByteStreams.Configuration;

/// <summary>What a <c>ByteStreams</c> section says beside its endpoints.</summary>
internal sealed class ServiceSettings
{
    /// <summary>
    /// Connections of all endpoints together, 0 for no limit. By default as many as the limit of open descriptors leaves room for
    /// (<c>ulimit -n</c>, <c>LimitNOFILE</c>): fifteen of sixteen, less 128. The number is logged at the start. A change counts at once:
    /// who is connected stays, and new connections are refused until there are fewer.
    /// </summary>
    public int? MaxConnections { get; set; }
}

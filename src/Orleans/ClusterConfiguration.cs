using ByteStreams.Configuration;
using Microsoft.Extensions.Configuration;
using static ByteStreams.Configuration.Settings;

namespace ByteStreams.Cluster;

/// <summary>The keys of the section <c>ByteStreams:Cluster</c>.</summary>
internal static class ClusterConfiguration
{
    public static SettingTable<ByteStreamClusterOptions> Table { get; } = new(
        Time(ByteStreamClusterOptions.Ranges, nameof(ByteStreamClusterOptions.LinkRetry), (o, v) => o.LinkRetry = v),
        Time(ByteStreamClusterOptions.Ranges, nameof(ByteStreamClusterOptions.LinkTimeout), (o, v) => o.LinkTimeout = v),
        Number(ByteStreamClusterOptions.Ranges, nameof(ByteStreamClusterOptions.LinkQueue), (o, v) => o.LinkQueue = v),
        Time(ByteStreamClusterOptions.Ranges, nameof(ByteStreamClusterOptions.JoinTimeout), (o, v) => o.JoinTimeout = v),
        Choice<ByteStreamClusterOptions, EvictionAction>(nameof(ByteStreamClusterOptions.OnEvicted), o => o.OnEvicted, (o, v) => o.OnEvicted = v),
        Number(ByteStreamClusterOptions.Ranges, nameof(ByteStreamClusterOptions.ClusterMaxConnections), (o, v) => o.ClusterMaxConnections = v));

    /// <summary>Applies the section.</summary>
    /// <param name="section">The section.</param>
    /// <param name="options">Receives the values.</param>
    /// <param name="errors">Receives one line for each error: the key, the cause, the remedy.</param>
    public static void Apply(IConfigurationSection section, ByteStreamClusterOptions options, ICollection<string> errors)
    {
        SettingTable.RejectValue(section, errors);
        foreach (IConfigurationSection child in section.GetChildren())
        {
            Table.Read(child, options, errors);
        }
    }
}

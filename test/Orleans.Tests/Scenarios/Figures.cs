using System.Globalization;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>The delivery counts between sessions.</summary>
/// <param name="Deliveries">Messages received.</param>
/// <param name="Across">Deliveries whose sender and receiver are connected to different hosts.</param>
/// <param name="Lost">
/// Messages not received, of those sent after the receiver's join was acknowledged. If the host of the sender or the receiver was signaled, only gaps
/// before the last received message count.
/// </param>
/// <param name="Duplicated">Messages received more than once.</param>
/// <param name="Reordered">Messages received after a later one of the same sender.</param>
/// <param name="Longest">The maximum time from before the sender's write to after the receiver's read, both measured in the test process.</param>
internal sealed record Figures(long Deliveries, long Across, long Lost, long Duplicated, long Reordered, TimeSpan Longest)
{
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Deliveries:N0} deliveries, {(Deliveries == 0 ? 0 : 100 * Across / Deliveries)}% across hosts, {Lost} lost, {Duplicated} duplicated, {Reordered} reordered, longest {Longest.TotalMilliseconds:0} ms");
}

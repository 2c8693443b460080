using System.Globalization;

namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>What was counted between sessions.</summary>
/// <param name="Deliveries">Messages that have arrived.</param>
/// <param name="Across">Those of them whose sender is connected to another host than the receiver.</param>
/// <param name="Lost">
/// Messages that have not arrived, of those that were sent after the receiver's join was acknowledged. A session whose host was signaled has lost
/// what is missing before the last message that has arrived; what it sent or would have got after that ends with its connection.
/// </param>
/// <param name="Doubled">Messages that have arrived more than once.</param>
/// <param name="Reordered">Messages that have arrived after a later one of the same sender.</param>
/// <param name="Longest">The longest time from before the sender's write to after the receiver's read, both taken in the test's process.</param>
internal sealed record Figures(long Deliveries, long Across, long Lost, long Doubled, long Reordered, TimeSpan Longest)
{
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Deliveries:N0} deliveries, {(Deliveries == 0 ? 0 : 100 * Across / Deliveries)}% across hosts, {Lost} lost, {Doubled} doubled, {Reordered} reordered, longest {Longest.TotalMilliseconds:0} ms");
}

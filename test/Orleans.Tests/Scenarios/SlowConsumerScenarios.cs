using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>A member of a group does not read.</summary>
public sealed class SlowConsumerScenarios : ClusterScenario
{
    [Fact(Timeout = 240_000, Explicit = true)]
    public async Task Send_MemberDoesNotRead_IsAbortedAndOthersGetEverything()
    {
        const int Messages = 8_000;
        const int PerSecond = 800;
        const int MessageLength = 4096;
        const int Members = 9;
        Cluster cluster = await StartAsync();
        int[] received = new int[Members];
        long slowest = 0;
        for (int i = 0; i < Members; i++)
        {
            int member = i;
            Client client = Own(await Client.ConnectAsync(cluster.Hosts[i % 3], "register", (_, number, sentAt, receivedAt) =>
            {
                // Counts consecutive messages only: a lost, duplicated or reordered message stops the count.
                received[member] += number == received[member] ? 1 : 0;
                InterlockedMax(ref slowest, receivedAt - sentAt);
            }));
            await client.JoinAsync("red");
        }

        HostProcess host = cluster.Hosts[1];
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await silent.ConnectAsync(host.EndPoint, TestContext.Current.CancellationToken);
        await silent.SendAsync("register\njoin red\n"u8.ToArray());
        Client sender = await ConnectAsync(cluster.Hosts[0]);
        await Patience.UntilAsync(() => sender.PresenceAsync("group:red"), present => present.Split(' ').Length == 1 + Members + 1);

        long before = host.ResidentBytes;
        long most = before;
        long untilAborted = 0;
        string padding = new('.', MessageLength - 64);
        var watch = Stopwatch.StartNew();
        for (int sent = 0; sent < Messages;)
        {
            var lines = new StringBuilder();
            for (int due = Math.Min(Messages, (int)(watch.Elapsed.TotalSeconds * PerSecond)); sent < due; sent++)
            {
                lines.Append(CultureInfo.InvariantCulture, $"send group:red m 0 {sent} {Stopwatch.GetTimestamp()} {padding}\n");
            }

            await sender.SendAsync(lines.ToString());
            most = Math.Max(most, host.ResidentBytes);
            untilAborted = host.Reasons.ContainsKey("slow_consumer") ? untilAborted : (long)sent * MessageLength;
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        await Patience.UntilAsync(() => received.Min(), least => least == Messages);
        await Patience.UntilAsync(() => host.Reasons.GetValueOrDefault("slow_consumer"), count => count == 1);
        await Patience.UntilAsync(() => host.MetricAsync("bytestreams.connection.duration", "slow_consumer"), count => count == 1);
        TimeSpan longest = Stopwatch.GetElapsedTime(0, slowest);
        Figure($"{Members} members received {received.Min():N0} of {Messages:N0} messages each, slowest {longest.TotalMilliseconds:0} ms; the silent member was aborted after {untilAborted >> 10:N0} of {Messages * MessageLength >> 10:N0} KiB; resident memory {before >> 20} MiB, at most {most >> 20} MiB");
        AssertWithin(TimeSpan.FromMilliseconds(250), longest, "A delivery");
        // MaxPending is 1 MiB. The socket buffers of both sides take up to 10 MiB; the rest is sent before the log line is read.
        Assert.InRange(untilAborted, 1 << 20, Messages * MessageLength / 2);
        Assert.True(most - before < Messages * MessageLength, $"Resident memory has grown from {before:N0} to {most:N0} bytes.");
    }

    private static void InterlockedMax(ref long most, long value)
    {
        for (long seen = Interlocked.Read(ref most); value > seen;)
        {
            long found = Interlocked.CompareExchange(ref most, value, seen);
            if (found == seen)
            {
                return;
            }

            seen = found;
        }
    }
}

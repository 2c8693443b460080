using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Security.Cryptography;
using ByteStreams.Testing;

namespace ByteStreams.Faults.Tests;

/// <summary>
/// What must not grow, however long it runs. Each row takes half of <c>BYTESTREAMS_SOAK_MINUTES</c> (see <c>test/Faults.Tests/soak</c>), 15 s
/// where that is not set.
/// </summary>
public sealed class SoakRows : ProcessTest
{
    private const double MiB = 1 << 20;

    private static readonly TimeSpan Budget = TimeSpan.FromMinutes(
        double.Parse(Environment.GetEnvironmentVariable("BYTESTREAMS_SOAK_MINUTES") ?? "0.5", CultureInfo.InvariantCulture) / 2);

    /// <summary>
    /// Growth of memory that is none, beside 5 percent: of what was collected not all goes back to the system at once. A hundred bytes left
    /// behind in each of a hundred and fifty thousand cycles are more.
    /// </summary>
    private const long Noise = 8 << 20;

    /// <summary>
    /// The collector runs after each 4 MiB of new objects. By itself it waits for as much as the processor's cache holds, and keeps as much
    /// for the next ones.
    /// </summary>
    private static readonly string[] CollectEarly = ["/usr/bin/env", "DOTNET_GCgen0size=0x400000"];

    [Fact(Explicit = true), Trait("Fault", "F50")]
    public async Task F50_ConnectEchoClose_NothingGrows()
    {
        const int Clients = 16;
        TakeTime(Budget * 2 + TimeSpan.FromMinutes(2));
        ServerProcess host = await HostAsync(CollectEarly, 0);
        await CycleAsync(host, Clients, Budget / 4);
        await Patience.UntilAsync(() => host.Reasons.Values.Sum(), now => now > 0);
        (int sockets, long before) = (await SettledSocketsAsync(host), await CollectedMemoryAsync(host));

        long cycles = await CycleAsync(host, Clients, Budget * 3 / 4);

        int socketsAfter = await SettledSocketsAsync(host);
        long after = await CollectedMemoryAsync(host);
        Figure($"{cycles:N0} cycles, {before / MiB:0.0} MiB before and {after / MiB:0.0} after, {socketsAfter - sockets} sockets more");
        Assert.InRange(socketsAfter, 0, sockets);
        Assert.InRange(after, 0, (long)(before * 1.05) + Noise);
        Assert.Equal(["closed_by_peer"], host.Reasons.Keys);
    }

    [Fact(Explicit = true), Trait("Fault", "F51")]
    public async Task F51_MessagesThroughChaos_ChecksumsAreEqualAndMemoryIsFlat()
    {
        const int Clients = 8;
        TakeTime(Budget * 2 + TimeSpan.FromMinutes(2));
        ServerProcess host = await HostAsync(CollectEarly, 0);
        await using ChaosRelay relay = await ChaosRelay.StartAsync(host.EndPoint, new ChaosOptions
        {
            Seed = 51,
            MaxPiece = 16384,
            PauseChance = 0.001,
            MaxPause = TimeSpan.FromMilliseconds(5),
            CoalesceChance = 0.05,
            Hold = TimeSpan.FromMilliseconds(1),
            ResetChance = 0.1,
            HalfCloseChance = 0.1,
            EndWithin = Exchange.Bytes,
        });
        Totals warm = await ExchangeAsync(relay, Clients, Budget / 4);
        await Patience.UntilAsync(() => relay.Open, now => now == 0, limit: TimeSpan.FromMinutes(2));
        (int sockets, long before) = (await SettledSocketsAsync(host), await CollectedMemoryAsync(host));

        Totals totals = await ExchangeAsync(relay, Clients, Budget * 3 / 4);

        await Patience.UntilAsync(() => relay.Open, now => now == 0, limit: TimeSpan.FromMinutes(2));
        await Patience.UntilAsync(() => host.Reasons.Values.Sum(), now => now == relay.Accepted, limit: TimeSpan.FromMinutes(2));
        int socketsAfter = await SettledSocketsAsync(host);
        long after = await CollectedMemoryAsync(host);
        int resets = relay.Count(ChaosAction.Reset);
        int halfCloses = relay.Count(ChaosAction.HalfClose);
        Figure($"{totals.Messages:N0} messages, {relay.Accepted:N0} connections, {resets} resets, {halfCloses} half-closes; {before / MiB:0.0} MiB before and {after / MiB:0.0} after; seed {relay.Seed}, checksum {totals.Checksum}");
        // What was cut was cut by the relay, and all else came back whole.
        Assert.InRange(warm.Cut + totals.Cut, 0, resets + halfCloses);
        Assert.InRange(resets, 1, int.MaxValue);
        Assert.InRange(halfCloses, 1, int.MaxValue);
        Assert.InRange(socketsAfter, 0, sockets);
        Assert.InRange(after, 0, (long)(before * 1.05) + Noise);
        Assert.Subset(new HashSet<string> { "closed_by_peer", "reset_by_peer" }, host.Reasons.Keys.ToHashSet());
    }

    private async Task<int> SettledSocketsAsync(ServerProcess host)
    {
        // What lingers does so for two seconds.
        int least = host.Sockets;
        for (int i = 0; i < 30; i++)
        {
            await Task.Delay(100, Soon);
            least = Math.Min(least, host.Sockets);
        }

        return least;
    }

    private async Task<long> CycleAsync(ServerProcess host, int clients, TimeSpan time)
    {
        long cycles = 0;
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, clients).Select(_ => Task.Run(CycleOneAsync, Soon)));
        return cycles;

        async Task CycleOneAsync()
        {
            byte[] line = "hello\n"u8.ToArray();
            byte[] answer = new byte[line.Length];
            while (watch.Elapsed < time)
            {
                using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(host.EndPoint, Soon);
                await socket.SendAsync(line, Soon);
                for (int count = 0; count < answer.Length;)
                {
                    int more = await socket.ReceiveAsync(answer.AsMemory(count), Soon);
                    Assert.True(more > 0, "The connection has ended within the echo.");
                    count += more;
                }

                Assert.Equal(line, answer);
                Interlocked.Increment(ref cycles);
            }
        }
    }

    private async Task<Totals> ExchangeAsync(ChaosRelay relay, int clients, TimeSpan time)
    {
        var exchanges = new List<Exchange>();
        var watch = Stopwatch.StartNew();
        await Task.WhenAll(Enumerable.Range(0, clients).Select(number => Task.Run(
            async () =>
            {
                var total = new Exchange(number);
                lock (exchanges)
                {
                    exchanges.Add(total);
                }

                while (watch.Elapsed < time)
                {
                    await total.RunAsync(relay.EndPoint, Soon);
                }
            },
            Soon)));
        Assert.All(exchanges, exchange => Assert.Equal(exchange.SentChecksum, exchange.ReceivedChecksum));
        byte[] checksum = SHA256.HashData([.. exchanges.OrderBy(exchange => exchange.Number).SelectMany(exchange => exchange.ReceivedChecksum)]);
        return new Totals(exchanges.Sum(exchange => exchange.Messages), exchanges.Sum(exchange => exchange.Cut), Convert.ToHexString(checksum)[..16]);
    }

    private sealed record Totals(long Messages, int Cut, string Checksum);
}

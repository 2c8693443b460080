using System.Collections.Concurrent;
using System.Net;
using System.Text;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>Handlers run in parallel, where asyncio runs one step at a time: what docs/asyncio.md says about it, and its remedies.</summary>
public sealed class ParallelHandlersTests
{
    private const int Connections = 2000;
    private const int Lines = 10;
    private const int AtOnce = 200;

    private static readonly string[] Words = ["a", "b", "c", "d", "e", "f", "g"];

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    public async Task Handlers_LiteralPortWithADictionary_OneStepAtATime_LosesNoCount(int? eventLoops)
    {
        var counts = new Dictionary<string, int>();
        TaskScheduler oneAtATime = new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler;
        await CountAsync(
            (reader, writer, stopping) => Task.Factory
                .StartNew(() => ServeAsync(reader, writer, stopping), CancellationToken.None, TaskCreationOptions.None, oneAtATime).Unwrap(),
            eventLoops);
        AssertComplete(counts);

        // asyncio's own lines: a step from one await to the next is never beside another.
        async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            await foreach (byte[] line in reader.WithCancellation(stopping))
            {
                string word = Encoding.ASCII.GetString(line).TrimEnd();
                int before = counts.GetValueOrDefault(word);
                // Another thread has its chance here; another step has none.
                Thread.Yield();
                counts[word] = before + 1;
                writer.Write(line);
                await writer.DrainAsync(stopping);
            }
        }
    }

    [Fact]
    public async Task Handlers_ConcurrentDictionary_LosesNoCount()
    {
        var counts = new ConcurrentDictionary<string, int>();
        await CountAsync(
            async (reader, writer, stopping) =>
            {
                await foreach (byte[] line in reader.WithCancellation(stopping))
                {
                    counts.AddOrUpdate(Encoding.ASCII.GetString(line).TrimEnd(), 1, static (_, count) => count + 1);
                    writer.Write(line);
                    await writer.DrainAsync(stopping);
                }
            },
            eventLoops: null);
        AssertComplete(counts);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(1)]
    public async Task Handlers_OfTwoClients_RunAtTheSameTime(int? eventLoops)
    {
        // Each waits within a step of its own for the other one's.
        using var both = new Barrier(2);
        await using ByteStreamServer server = await StartAsync(
            async (reader, writer, stopping) =>
            {
                byte[] line = await reader.ReadLineAsync(stopping);
                Assert.True(both.SignalAndWait(TimeSpan.FromSeconds(60), CancellationToken.None));
                writer.Write(line);
            },
            eventLoops);
        await using ByteStreamConnection first = await Given.Connect(server);
        await using ByteStreamConnection second = await Given.Connect(server);
        first.Writer.Write("1\n");
        second.Writer.Write("2\n");
        Assert.Equal("1\n"u8.ToArray(), await first.Line());
        Assert.Equal("2\n"u8.ToArray(), await second.Line());
    }

    private static void AssertComplete(IReadOnlyDictionary<string, int> counts)
    {
        Assert.Equal(Words, counts.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(Connections * Lines, counts.Values.Sum());
    }

    private static async Task CountAsync(ByteStreamDelegate handler, int? eventLoops)
    {
        await using ByteStreamServer server = await StartAsync(handler, eventLoops);
        await Parallel.ForAsync(
            0, Connections, new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = TestContext.Current.CancellationToken }, async (i, token) =>
        {
            await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(server.EndPoints[0], null, token);
            for (int line = 0; line < Lines; line++)
            {
                client.Writer.Write($"{Words[(i + line) % Words.Length]}\n");
            }

            for (int line = 0; line < Lines; line++)
            {
                Assert.Equal(2, (await client.Line()).Length);
            }
        });
    }

    private static Task<ByteStreamServer> StartAsync(ByteStreamDelegate handler, int? eventLoops) => ByteStream.StartServerAsync(
        handler, new IPEndPoint(IPAddress.Loopback, 0), new() { EventLoops = eventLoops, Backlog = 4096 }, TestContext.Current.CancellationToken);
}

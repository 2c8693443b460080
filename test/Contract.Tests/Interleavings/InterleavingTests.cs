using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>Runs while no other test does: what nobody observes then is this one's.</summary>
[CollectionDefinition(nameof(Alone), DisableParallelization = true)]
public sealed class Alone;

/// <summary>
/// Reads, writes, drains, closes, aborts, half-closes, upgrades, cancellations and disposals against each other, at random moments on
/// several threads: nothing hangs, is lost or torn, and no exception goes unobserved. What a scenario does is decided by its seed, which
/// a failure tells and <c>BYTESTREAMS_STRESS_SEED</c> repeats; <c>BYTESTREAMS_STRESS_SECONDS</c> is how long each medium is tried, and
/// <c>BYTESTREAMS_STRESS_MEDIUM</c> which one alone.
/// </summary>
/// <remarks>
/// Microsoft Coyote, which would choose the interleavings itself, rewrites and runs programs of .NET 10, but has no hold on what this
/// library waits with: value task sources, awaiters and event loops of its own are uncontrolled to it.
/// </remarks>
[Collection(nameof(Alone))]
public sealed class InterleavingTests
{
    private const int Workers = 3;

    public static TheoryData<Medium> Media =>
        [.. Enum.GetValues<Medium>().Where(medium => Environment.GetEnvironmentVariable("BYTESTREAMS_STRESS_MEDIUM") is not { Length: > 0 } one || one == medium.ToString())];

    [Theory, MemberData(nameof(Media)), Trait("Fault", "F15"), Trait("Fault", "F16")]
    public async Task Everything_AgainstEverything_NeitherHangsNorLosesNorTearsNorLeavesExceptions(Medium medium)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || !medium.ToString().EndsWith("Epoll", StringComparison.Ordinal), "epoll is Linux'");
        Collect();
        var unobserved = new ConcurrentQueue<string>();
        void Note(object? sender, UnobservedTaskExceptionEventArgs error) => unobserved.Enqueue(error.Exception.ToString());
        TaskScheduler.UnobservedTaskException += Note;
        try
        {
            int? given = Number("BYTESTREAMS_STRESS_SEED");
            int first = given ?? Random.Shared.Next();
            double seconds = Number("BYTESTREAMS_STRESS_SECONDS") ?? 0.5;
            int begun = 0;
            long start = Stopwatch.GetTimestamp();
            await Task.WhenAll(Enumerable.Range(0, Workers).Select(_ => Task.Run(async () =>
            {
                MeetingPlace place = await MeetingPlace.StartAsync(medium);
                do
                {
                    int seed = given ?? unchecked(first + Interlocked.Increment(ref begun));
                    using var scenario = new Scenario(seed, place);
                    try
                    {
                        await scenario.RunAsync();
                    }
                    catch (Exception failure)
                    {
                        // The place is left as it is: what hangs would hide why.
                        throw new InvalidOperationException($"BYTESTREAMS_STRESS_SEED={seed} BYTESTREAMS_STRESS_MEDIUM={medium} repeats it: {failure}", failure);
                    }
                }
                while (Stopwatch.GetElapsedTime(start).TotalSeconds < seconds && !TestContext.Current.CancellationToken.IsCancellationRequested);

                await place.DisposeAsync();
            })));
            TestContext.Current.TestOutputHelper?.WriteLine($"{begun} scenarios over {medium}, from seed {first}.");
        }
        finally
        {
            Collect();
            TaskScheduler.UnobservedTaskException -= Note;
        }

        Assert.True(unobserved.IsEmpty, string.Join("\n\n", unobserved.Select(error => error[..Math.Min(error.Length, 3000)]).Distinct()));
    }

    private static int? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;

    /// <summary>Unobserved exceptions are told when their tasks are collected.</summary>
    private static void Collect()
    {
        for (int i = 0; i < 2; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }
}

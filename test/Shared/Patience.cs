using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace ByteStreams.Tests;

/// <summary>How long tests wait: until a state is reached that nothing signals, and for what must happen within a given time.</summary>
internal static class Patience
{
    /// <summary>The bound of a wait that has no other: a state that is not reached by then is never reached.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    /// <summary>Returns the time that is demanded on an idle machine, multiplied by the runnable processes per processor of this one.</summary>
    public static TimeSpan OnThisMachine(TimeSpan idle)
    {
        const string Load = "/proc/loadavg";
        double each = File.Exists(Load) ? double.Parse(File.ReadAllText(Load).Split(' ')[0], CultureInfo.InvariantCulture) / Environment.ProcessorCount : 1;
        return idle * Math.Max(1, each);
    }

    /// <summary>Waits until a condition holds that nothing signals. The end of the test's time and <paramref name="limit"/> end the wait as a failure.</summary>
    /// <param name="condition">The condition.</param>
    /// <param name="observed">Gets what a failure reports in addition to the condition.</param>
    /// <param name="limit">How long to wait; null for <see cref="Limit"/>.</param>
    /// <param name="awaited">The condition's source text.</param>
    public static async Task UntilAsync(
        Func<bool> condition, Func<object?>? observed = null, TimeSpan? limit = null, [CallerArgumentExpression(nameof(condition))] string awaited = "")
    {
        long begun = Stopwatch.GetTimestamp();
        while (!condition())
        {
            await PauseAsync(begun, limit, awaited, observed);
        }
    }

    /// <summary>Waits until a value is reached that nothing signals, and returns it.</summary>
    /// <param name="value">Gets the present value.</param>
    /// <param name="isReached">Whether a value is the awaited one.</param>
    /// <param name="limit">How long to wait; null for <see cref="Limit"/>.</param>
    /// <param name="awaited">The source text of <paramref name="isReached"/>.</param>
    /// <param name="observed">The source text of <paramref name="value"/>.</param>
    public static Task<T> UntilAsync<T>(
        Func<T> value,
        Func<T, bool> isReached,
        TimeSpan? limit = null,
        [CallerArgumentExpression(nameof(isReached))] string awaited = "",
        [CallerArgumentExpression(nameof(value))] string observed = "") =>
        UntilAsync(() => Task.FromResult(value()), isReached, limit, awaited, observed);

    /// <inheritdoc cref="UntilAsync{T}(Func{T}, Func{T, bool}, TimeSpan?, string, string)"/>
    public static async Task<T> UntilAsync<T>(
        Func<Task<T>> value,
        Func<T, bool> isReached,
        TimeSpan? limit = null,
        [CallerArgumentExpression(nameof(isReached))] string awaited = "",
        [CallerArgumentExpression(nameof(value))] string observed = "")
    {
        long begun = Stopwatch.GetTimestamp();
        while (true)
        {
            T last = await value();
            if (isReached(last))
            {
                return last;
            }

            await PauseAsync(begun, limit, $"{observed}, {awaited}", () => last);
        }
    }

    private static async Task PauseAsync(long begun, TimeSpan? limit, string awaited, Func<object?>? observed)
    {
        CancellationToken test = TestContext.Current.CancellationToken;
        TimeSpan waited = Stopwatch.GetElapsedTime(begun);
        if (waited > (limit ?? Limit) || test.IsCancellationRequested)
        {
            string last = observed is null ? string.Empty : $" The last value was {observed() ?? "null"}.";
            Assert.Fail(string.Create(CultureInfo.InvariantCulture, $"Not reached within {waited.TotalSeconds:0.0} s: {awaited}.{last}"));
        }

        await Task.Delay(Pause, test).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}

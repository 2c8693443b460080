namespace ByteStreams.Transport.Validation;

/// <summary>The range of a time, both bounds included.</summary>
/// <param name="Minimum">The least time; one tick stands for "greater than zero".</param>
/// <param name="Maximum">The greatest time.</param>
internal readonly record struct DurationRange(TimeSpan Minimum, TimeSpan Maximum)
{
    /// <summary>Below the limit of timers and poll(2), <see cref="int.MaxValue"/> milliseconds.</summary>
    private static readonly TimeSpan TimerLimit = TimeSpan.FromDays(24);

    public static DurationRange Positive { get; } = new(TimeSpan.FromTicks(1), TimerLimit);

    public static DurationRange ZeroOrMore { get; } = new(TimeSpan.Zero, TimerLimit);

    public static DurationRange AtLeastOneSecond { get; } = new(TimeSpan.FromSeconds(1), TimerLimit);

    /// <summary>What a value may be, for messages and documentation.</summary>
    public string Requirement
    {
        get
        {
            string least = Minimum == TimeSpan.Zero ? "zero or more"
                : Minimum == Positive.Minimum ? "greater than zero"
                : $"at least {Duration.Show(Minimum)}";
            return $"a time such as 30s or 00:00:30, {least}, at most {Duration.Show(Maximum)}";
        }
    }

    public bool Contains(TimeSpan value) => value >= Minimum && value <= Maximum;
}

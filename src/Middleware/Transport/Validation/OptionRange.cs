using System.Globalization;

namespace ByteStreams.Transport.Validation;

/// <summary>
/// The range of one option, declared once in its options type: the type's validation, the configuration key, the schema and the
/// documentation read it from there.
/// </summary>
/// <param name="Name">The option's name, which is also its key.</param>
internal abstract record OptionRange<TOptions>(string Name)
    where TOptions : class
{
    /// <summary>What a value may be, for messages and documentation.</summary>
    public abstract string Requirement { get; }

    /// <summary>The option's value as text if it is out of range, else null.</summary>
    public abstract string? FindInvalid(TOptions options);

    /// <summary>The same range of a derived options type.</summary>
    public abstract OptionRange<TDerived> For<TDerived>()
        where TDerived : class, TOptions;
}

/// <summary>The range of a number; null is an option that is not set.</summary>
internal sealed record NumberOption<TOptions>(string Name, NumberRange Range, Func<TOptions, long?> Get) : OptionRange<TOptions>(Name)
    where TOptions : class
{
    public override string Requirement => Range.Requirement;

    public override string? FindInvalid(TOptions options) =>
        Get(options) is long value && !Range.Contains(value) ? value.ToString(CultureInfo.InvariantCulture) : null;

    public override OptionRange<TDerived> For<TDerived>() => new NumberOption<TDerived>(Name, Range, Get);
}

/// <summary>The range of a time; null is an option that is not set.</summary>
internal sealed record DurationOption<TOptions>(string Name, DurationRange Range, Func<TOptions, TimeSpan?> Get) : OptionRange<TOptions>(Name)
    where TOptions : class
{
    public override string Requirement => Range.Requirement;

    public override string? FindInvalid(TOptions options) =>
        Get(options) is TimeSpan value && !Range.Contains(value) ? value.ToString("c", CultureInfo.InvariantCulture) : null;

    public override OptionRange<TDerived> For<TDerived>() => new DurationOption<TDerived>(Name, Range, Get);
}

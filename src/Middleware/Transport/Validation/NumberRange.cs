using System.Globalization;
using System.Runtime.CompilerServices;

namespace ByteStreams.Transport.Validation;

/// <summary>The range of a whole number, both bounds included.</summary>
/// <param name="Minimum">The least value.</param>
/// <param name="Maximum">The greatest value; <see cref="int.MaxValue"/> or <see cref="MaximumBytes"/> is no bound worth a word in a message.</param>
/// <param name="AllowsZero">Whether 0, which stands for no limit, is allowed below <paramref name="Minimum"/>.</param>
internal readonly record struct NumberRange(long Minimum, long Maximum = int.MaxValue, bool AllowsZero = false)
{
    /// <summary>A pebibyte: beyond any machine's memory, and exact in every JSON reader.</summary>
    public const long MaximumBytes = 1L << 50;

    public static NumberRange AtLeastOne { get; } = new(1);

    public static NumberRange AtLeastZero { get; } = new(0);

    /// <summary>The least value in a schema, which cannot express a gap.</summary>
    public long SchemaMinimum => AllowsZero ? 0 : Minimum;

    /// <summary>What a value may be, for messages and documentation.</summary>
    public string Requirement => (AllowsZero, Maximum) switch
    {
        (true, _) => string.Create(CultureInfo.InvariantCulture, $"a whole number of bytes, 0 or at least {Minimum}"),
        (_, int.MaxValue or MaximumBytes) => string.Create(CultureInfo.InvariantCulture, $"a whole number, at least {Minimum}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"a whole number from {Minimum} to {Maximum}"),
    };

    public bool Contains(long value) => (value >= Minimum && value <= Maximum) || (AllowsZero && value == 0);

    /// <summary>The check of a property's setter; null is an option that is not set.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is not in the range.</exception>
    public void ThrowIfOutside(long? value, [CallerMemberName] string option = "")
    {
        if (value is long number && !Contains(number))
        {
            throw new ArgumentOutOfRangeException(nameof(value), value, $"{option} takes {Requirement}.");
        }
    }
}

using System.Globalization;

namespace ByteStreams.Transport.Validation;

/// <summary>
/// The text format of times: <c>00:01:30</c>, or a number with a unit: <c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>2h</c>, <c>1d</c>. A number
/// without a unit is not valid, because <see cref="TimeSpan"/> would parse it as days.
/// </summary>
internal static class Duration
{
    /// <summary>The format as a regular expression, for schemas.</summary>
    public const string Pattern = @"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d)|([0-9]+\.)?([01]?[0-9]|2[0-3]):[0-5]?[0-9](:[0-5]?[0-9](\.[0-9]{1,7})?)?)$";

    /// <summary>A century; no unit overflows.</summary>
    private const int MostDays = 36500;

    private static readonly (string Unit, TimeSpan One)[] Units =
    [
        ("ms", TimeSpan.FromMilliseconds(1)), ("s", TimeSpan.FromSeconds(1)), ("m", TimeSpan.FromMinutes(1)),
        ("h", TimeSpan.FromHours(1)), ("d", TimeSpan.FromDays(1)),
    ];

    public static bool TryParse(string text, out TimeSpan value)
    {
        foreach ((string unit, TimeSpan one) in Units)
        {
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double count)
                && count * one.TotalDays < MostDays)
            {
                value = one * count;
                return true;
            }
        }

        value = default;
        return text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out value) && value.TotalDays < MostDays;
    }

    /// <summary>Formats a time with the largest unit of which it is a whole number; <see cref="TryParse"/> reads it.</summary>
    public static string Show(TimeSpan time)
    {
        foreach ((string unit, TimeSpan one) in Units.Reverse())
        {
            if (time >= one && time.Ticks % one.Ticks == 0)
            {
                return string.Create(CultureInfo.InvariantCulture, $"{time.Ticks / one.Ticks}{unit}");
            }
        }

        return time == TimeSpan.Zero ? "0s" : time.ToString("c", CultureInfo.InvariantCulture);
    }
}

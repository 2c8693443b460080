using System.Globalization;

namespace ByteStreams.Configuration;

/// <summary>The kinds of values, each with its range, message and schema.</summary>
internal static class Settings
{
    /// <summary>A pebibyte: beyond any machine's memory, and exact in every JSON reader.</summary>
    private const long MostBytes = 1L << 50;

    public static ValueSetting<TOptions> Number<TOptions>(
        string name, int least, int most, Func<TOptions, long?> get, Action<TOptions, int> set)
        where TOptions : new() => new(
        name,
        most == int.MaxValue
            ? string.Create(CultureInfo.InvariantCulture, $"a whole number, at least {least}")
            : string.Create(CultureInfo.InvariantCulture, $"a whole number from {least} to {most}"),
        new SettingSchema("integer", least, most == int.MaxValue ? null : most),
        options => get(options)?.ToString(CultureInfo.InvariantCulture),
        (text, options) =>
        {
            if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) || value < least || value > most)
            {
                return false;
            }

            set(options, value);
            return true;
        });

    /// <summary>An amount of memory: zero for no limit, or at least <paramref name="least"/>.</summary>
    public static ValueSetting<TOptions> Bytes<TOptions>(string name, long least, Func<TOptions, long?> get, Action<TOptions, long> set)
        where TOptions : new() => new(
        name,
        string.Create(CultureInfo.InvariantCulture, $"a whole number of bytes, 0 or at least {least}"),
        new SettingSchema("integer", 0, MostBytes),
        options => get(options)?.ToString(CultureInfo.InvariantCulture),
        (text, options) =>
        {
            if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long value) || value > MostBytes || (value != 0 && value < least))
            {
                return false;
            }

            set(options, value);
            return true;
        });

    public static ValueSetting<TOptions> Flag<TOptions>(string name, Func<TOptions, bool> get, Action<TOptions, bool> set)
        where TOptions : new() => OptionalFlag<TOptions>(name, options => get(options), set);

    /// <summary>A flag whose default depends on something else.</summary>
    public static ValueSetting<TOptions> OptionalFlag<TOptions>(string name, Func<TOptions, bool?> get, Action<TOptions, bool> set)
        where TOptions : new() => new(
        name,
        "true or false",
        new SettingSchema("boolean"),
        options => get(options) is bool flag ? (flag ? "true" : "false") : null,
        (text, options) =>
        {
            if (!bool.TryParse(text, out bool value))
            {
                return false;
            }

            set(options, value);
            return true;
        });

    public static ValueSetting<TOptions> Choice<TOptions, TChoice>(string name, Func<TOptions, TChoice> get, Action<TOptions, TChoice> set)
        where TOptions : new()
        where TChoice : struct, Enum => new(
        name,
        $"one of {string.Join(", ", Enum.GetNames<TChoice>())}",
        new SettingSchema("string", Values: Enum.GetNames<TChoice>()),
        options => get(options).ToString(),
        (text, options) =>
        {
            // A number would be taken for a name as well.
            if (!Enum.TryParse(text, ignoreCase: true, out TChoice value) || !Enum.GetNames<TChoice>().Contains(text, StringComparer.OrdinalIgnoreCase))
            {
                return false;
            }

            set(options, value);
            return true;
        });

    /// <param name="name">The key.</param>
    /// <param name="least">The least time; <see cref="TimeSpan.Zero"/> itself is taken only where <paramref name="orZero"/> says so.</param>
    /// <param name="get">Shows the default.</param>
    /// <param name="set">Sets the option.</param>
    /// <param name="orZero">Whether zero is a value.</param>
    public static ValueSetting<TOptions> Time<TOptions>(
        string name, TimeSpan least, Func<TOptions, TimeSpan?> get, Action<TOptions, TimeSpan> set, bool orZero = false)
        where TOptions : new() => new(
        name,
        orZero ? "a time such as 2s or 00:00:02, zero or more"
            : least > TimeSpan.Zero ? $"a time such as 60s or 00:01:00, at least {Duration.Show(least)}"
            : "a time such as 30s or 00:00:30, greater than zero",
        new SettingSchema("string", Pattern: Duration.Pattern),
        options => get(options) is TimeSpan time ? Duration.Show(time) : null,
        (text, options) =>
        {
            if (!Duration.TryParse(text, out TimeSpan value) || value < least || (value == TimeSpan.Zero && !orZero) || value.TotalMilliseconds > int.MaxValue)
            {
                return false;
            }

            set(options, value);
            return true;
        });

    public static ValueSetting<TOptions> Text<TOptions>(
        string name, string takes, Func<TOptions, string?> get, Action<TOptions, string> set, string? pattern = null)
        where TOptions : new() => new(
        name,
        takes,
        new SettingSchema("string", Pattern: pattern),
        get,
        (text, options) =>
        {
            if (text.Length == 0)
            {
                return false;
            }

            set(options, text);
            return true;
        });

    public static ValueSetting<TOptions> FileMode<TOptions>(string name, Func<TOptions, UnixFileMode?> get, Action<TOptions, UnixFileMode> set)
        where TOptions : new() => new(
        name,
        "an octal file mode such as 0660",
        new SettingSchema("string", Pattern: "^[0-7]{1,4}$"),
        options => get(options) is UnixFileMode mode ? "0" + Convert.ToString((int)mode, 8) : null,
        (text, options) =>
        {
            if (text.Length is 0 or > 4 || text.AsSpan().ContainsAnyExceptInRange('0', '7') || Convert.ToInt32(text, 8) > 0x1FF)
            {
                return false;
            }

            set(options, (UnixFileMode)Convert.ToInt32(text, 8));
            return true;
        });

    public static ListSetting<TOptions> List<TOptions>(string name, string takes, Func<TOptions, IList<string>> list)
        where TOptions : new() => new(name, takes, list);
}

using System.Globalization;
using ByteStreams.Transport.Validation;

namespace ByteStreams.Configuration;

/// <summary>Creates keys by type of value, each with its errors and schema.</summary>
internal static class Settings
{
    /// <summary>A number, whose range and default the options type declares.</summary>
    public static ValueSetting<TOptions> Number<TOptions>(OptionRanges<TOptions> ranges, string name, Action<TOptions, int> set)
        where TOptions : class, new() => LongNumber(ranges, name, (options, value) => set(options, (int)value));

    /// <summary>A number that may be above <see cref="int.MaxValue"/>.</summary>
    public static ValueSetting<TOptions> LongNumber<TOptions>(OptionRanges<TOptions> ranges, string name, Action<TOptions, long> set)
        where TOptions : class, new()
    {
        NumberOption<TOptions> option = ranges.Number(name);
        return new ValueSetting<TOptions>(
            option.Name,
            option.Requirement,
            new SettingSchema("integer", option.Range.SchemaMinimum, option.Range.Maximum),
            options => option.Get(options)?.ToString(CultureInfo.InvariantCulture),
            (text, options) =>
            {
                if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) || !option.Range.Contains(value))
                {
                    return false;
                }

                set(options, value);
                return true;
            });
    }

    public static ValueSetting<TOptions> Flag<TOptions>(string name, Func<TOptions, bool> get, Action<TOptions, bool> set)
        where TOptions : new() => OptionalFlag<TOptions>(name, options => get(options), set);

    /// <summary>A flag whose default depends on other options.</summary>
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
            // TryParse accepts numbers too.
            if (!Enum.TryParse(text, ignoreCase: true, out TChoice value) || !Enum.GetNames<TChoice>().Contains(text, StringComparer.OrdinalIgnoreCase))
            {
                return false;
            }

            set(options, value);
            return true;
        });

    /// <summary>A time, whose range and default the options type declares.</summary>
    public static ValueSetting<TOptions> Time<TOptions>(OptionRanges<TOptions> ranges, string name, Action<TOptions, TimeSpan> set)
        where TOptions : class, new()
    {
        DurationOption<TOptions> option = ranges.Duration(name);
        return new ValueSetting<TOptions>(
            option.Name,
            option.Requirement,
            new SettingSchema("string", Pattern: Duration.Pattern),
            options => option.Get(options) is TimeSpan time ? Duration.Show(time) : null,
            (text, options) =>
            {
                if (!Duration.TryParse(text, out TimeSpan value) || !option.Range.Contains(value))
                {
                    return false;
                }

                set(options, value);
                return true;
            });
    }

    /// <summary>A time whose option is null for no limit, which configuration writes as 0s.</summary>
    public static ValueSetting<TOptions> TimeOrNone<TOptions>(OptionRanges<TOptions> ranges, string name, Action<TOptions, TimeSpan?> set)
        where TOptions : class, new()
    {
        ValueSetting<TOptions> time = Time(ranges, name, (options, value) => set(options, value));
        return time with
        {
            TakesText = $"0s for no limit, or {time.TakesText}",
            TryApply = (text, options) =>
            {
                if (!Duration.TryParse(text, out TimeSpan value) || value != TimeSpan.Zero)
                {
                    return time.TryApply(text, options);
                }

                set(options, null);
                return true;
            },
        };
    }

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

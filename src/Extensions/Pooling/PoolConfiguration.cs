using System.Globalization;
using ByteStreams.Transport.Validation;
using Microsoft.Extensions.Configuration;

namespace ByteStreams.Pooling;

/// <summary>Reads <c>ByteStreamClients:NAME</c> without reflection, and notes each error with key, cause and remedy.</summary>
internal static class PoolConfiguration
{
    public const string Section = "ByteStreamClients";

    private const string DurationForms = "Write a number with a unit, such as 500ms, 30s or 5m, or hh:mm:ss.";

    private static readonly Dictionary<string, Func<ByteStreamPoolOptions, string, string?>> Keys = new(StringComparer.OrdinalIgnoreCase)
    {
        [nameof(ByteStreamPoolOptions.Url)] = static (options, value) => Set(() => options.Url = value),
        [nameof(ByteStreamPoolOptions.MaxConnections)] = static (options, value) => Number(value, number => options.MaxConnections = number),
        [nameof(ByteStreamPoolOptions.ConnectRetries)] = static (options, value) => Number(value, number => options.ConnectRetries = number),
        [nameof(ByteStreamPoolOptions.AcquireTimeout)] = static (options, value) => Time(value, time => options.AcquireTimeout = time, canBeInfinite: true),
        [nameof(ByteStreamPoolOptions.ConnectTimeout)] = static (options, value) => Time(value, time => options.ConnectTimeout = time),
        [nameof(ByteStreamPoolOptions.RetryDelay)] = static (options, value) => Time(value, time => options.RetryDelay = time),
        [nameof(ByteStreamPoolOptions.MaxRetryDelay)] = static (options, value) => Time(value, time => options.MaxRetryDelay = time),
        [nameof(ByteStreamPoolOptions.MaxIdleTime)] = static (options, value) => Time(value, time => options.MaxIdleTime = time, canBeInfinite: true),
        [nameof(ByteStreamPoolOptions.MaxLifetime)] = static (options, value) => Time(value, time => options.MaxLifetime = time, canBeInfinite: true),
        [nameof(ByteStreamPoolOptions.HealthCheckAfter)] = static (options, value) => Time(value, time => options.HealthCheckAfter = time),
    };

    public static void Read(IConfiguration configuration, string name, ByteStreamPoolOptions options)
    {
        foreach (IConfigurationSection entry in configuration.GetSection(Section).GetSection(name).GetChildren())
        {
            string? error = !Keys.TryGetValue(entry.Key, out Func<ByteStreamPoolOptions, string, string?>? set)
                ? $"is not a key. The keys are {string.Join(", ", Keys.Keys.Order(StringComparer.Ordinal))}."
                : entry.Value is not string value ? "has no value. Write one value."
                : set(options, value) is string cause ? $"is '{value}': {cause}" : null;
            if (error is not null)
            {
                options.ConfigurationErrors.Add($"{Section}:{name}:{entry.Key} {error}");
            }
        }
    }

    private static string? Set(Action set)
    {
        set();
        return null;
    }

    private static string? Number(string value, Action<int> set)
    {
        if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            return "it is not a whole number. Write decimal digits.";
        }

        set(number);
        return null;
    }

    private static string? Time(string value, Action<TimeSpan> set, bool canBeInfinite = false)
    {
        if (canBeInfinite && value.Equals("infinite", StringComparison.OrdinalIgnoreCase))
        {
            set(Timeout.InfiniteTimeSpan);
            return null;
        }

        if (!Duration.TryParse(value, out TimeSpan time))
        {
            return $"it is not a time. {DurationForms}{(canBeInfinite ? " Or write infinite." : "")}";
        }

        set(time);
        return null;
    }
}

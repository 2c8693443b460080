using Microsoft.Extensions.Options;

namespace ByteStreams.Pooling;

/// <summary>Validates the options of one client: all errors at once, each with key, cause and remedy.</summary>
internal sealed class PoolOptionsValidator(string name) : IValidateOptions<ByteStreamPoolOptions>
{
    private const int MostConnections = 10_000;
    private const int MostRetries = 100;

    // Timers of .NET take at most 49 days.
    private static readonly TimeSpan Longest = TimeSpan.FromDays(49);

    public ValidateOptionsResult Validate(string? optionsName, ByteStreamPoolOptions options)
    {
        if (optionsName != name)
        {
            return ValidateOptionsResult.Skip;
        }

        List<string> errors = [.. options.ConfigurationErrors];
        CheckUrl(options, errors);
        if (options.MaxConnections is < 1 or > MostConnections)
        {
            Add(nameof(options.MaxConnections), options.MaxConnections, $"is out of range. Set 1 to {MostConnections}.");
        }

        if (options.ConnectRetries is < 0 or > MostRetries)
        {
            Add(nameof(options.ConnectRetries), options.ConnectRetries, $"is out of range. Set 0 to {MostRetries}.");
        }

        CheckTime(nameof(options.AcquireTimeout), options.AcquireTimeout, canBeInfinite: true);
        CheckTime(nameof(options.ConnectTimeout), options.ConnectTimeout);
        CheckTime(nameof(options.RetryDelay), options.RetryDelay);
        CheckTime(nameof(options.MaxRetryDelay), options.MaxRetryDelay);
        CheckTime(nameof(options.MaxIdleTime), options.MaxIdleTime, canBeInfinite: true);
        CheckTime(nameof(options.MaxLifetime), options.MaxLifetime, canBeInfinite: true);
        if (options.HealthCheckAfter < TimeSpan.Zero)
        {
            Add(nameof(options.HealthCheckAfter), options.HealthCheckAfter, "is negative. Set zero or more.");
        }

        if (options.MaxRetryDelay < options.RetryDelay)
        {
            Add(nameof(options.MaxRetryDelay), options.MaxRetryDelay, $"is less than RetryDelay ({options.RetryDelay}). Raise it, or lower RetryDelay.");
        }

        return errors.Count > 0 ? ValidateOptionsResult.Fail(errors) : ValidateOptionsResult.Success;

        void CheckTime(string key, TimeSpan time, bool canBeInfinite = false)
        {
            if ((time <= TimeSpan.Zero || time > Longest) && !(canBeInfinite && time == Timeout.InfiniteTimeSpan))
            {
                Add(key, time, $"is out of range. Set more than zero and at most {Longest.TotalDays} days{(canBeInfinite ? ", or infinite" : "")}.");
            }
        }

        void Add(string key, object value, string error) => errors.Add($"{PoolConfiguration.Section}:{name}:{key} is {value}: it {error}");
    }

    private void CheckUrl(ByteStreamPoolOptions options, List<string> errors)
    {
        string? error = null;
        if (options.UsesServiceDiscovery)
        {
            error = PoolTarget.TryParseService(options.Url, out _, out _, out _);
        }
        else if (!EndpointUrl.TryParseTarget(options.Url, out _, out string? cause))
        {
            error = cause;
        }

        if (error is not null)
        {
            errors.Add($"{PoolConfiguration.Section}:{name}:Url '{options.Url}' {error}");
        }
    }
}

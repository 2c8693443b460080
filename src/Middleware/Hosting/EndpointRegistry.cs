using ByteStreams.Configuration;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>What was registered: handlers by name, endpoints, and configuration sections to read endpoints from.</summary>
internal sealed class EndpointRegistry
{
    private readonly Dictionary<string, Func<IServiceProvider, ByteStreamDelegate>> _handlers = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<EndpointRegistration> _endpoints = [];
    private readonly List<IConfiguration> _sections = [];
    private readonly List<(string Name, Action<ByteStreamServerOptions> Configure)> _configured = [];

    public void Add(string name, Func<IServiceProvider, ByteStreamDelegate> handler)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (!_handlers.TryAdd(name, handler))
        {
            throw new ArgumentException($"There is a handler '{name}' already; names of handlers are unique, whatever their case.", nameof(name));
        }
    }

    public void Add(EndpointRegistration endpoint) => _endpoints.Add(endpoint);

    public void Add(IConfiguration section) => _sections.Add(section);

    public void Configure(string name, Action<ByteStreamServerOptions> configure) => _configured.Add((name, configure));

    /// <summary>Checks everything at once.</summary>
    /// <param name="services">What handlers and middleware are made from.</param>
    /// <param name="loggerFactory">Where servers log.</param>
    /// <exception cref="EndpointConfigurationException">Something is wrong; the exception has all of it.</exception>
    public IReadOnlyList<EndpointPlan> Plan(IServiceProvider services, ILoggerFactory loggerFactory)
    {
        var errors = new List<string>();
        var all = new List<EndpointRegistration>(_endpoints);
        foreach (IConfiguration section in _sections)
        {
            all.AddRange(EndpointConfiguration.Read(section, errors));
        }

        foreach (IGrouping<string, EndpointRegistration> same in all.GroupBy(endpoint => endpoint.Name, StringComparer.OrdinalIgnoreCase).Where(same => same.Count() > 1))
        {
            errors.Add($"{same.First().Path}: there are {same.Count()} endpoints of this name. Give each a name of its own.");
        }

        foreach ((string name, _) in _configured.Where(configured => !all.Any(endpoint => Is(endpoint.Name, configured.Name))))
        {
            errors.Add($"ConfigureEndpoint(\"{name}\"): there is no endpoint of this name. {Known("Endpoints", all.Select(endpoint => endpoint.Name))}");
        }

        var plans = new List<EndpointPlan>();
        foreach (EndpointRegistration endpoint in all)
        {
            if (Plan(endpoint, services, loggerFactory, errors) is EndpointPlan plan)
            {
                plans.Add(plan);
            }
        }

        return errors.Count == 0 ? plans : throw new EndpointConfigurationException(errors);
    }

    private EndpointPlan? Plan(EndpointRegistration endpoint, IServiceProvider services, ILoggerFactory loggerFactory, List<string> errors)
    {
        int before = errors.Count;
        EndpointUrl? url = EndpointUrl.Parse(endpoint.Url, out string? wrong);
        if (url is null)
        {
            errors.Add($"{endpoint.Path}:{EndpointKeys.Url}: {wrong}");
        }

        Func<IServiceProvider, ByteStreamDelegate>? handler = null;
        if (endpoint.Callback is null && (endpoint.Handler is null || !_handlers.TryGetValue(endpoint.Handler, out handler)))
        {
            errors.Add(string.IsNullOrEmpty(endpoint.Handler)
                ? $"{endpoint.Path}:{EndpointKeys.Handler}: is missing. {Known("Handlers", _handlers.Keys)}"
                : $"{endpoint.Path}:{EndpointKeys.Handler}: there is no handler '{endpoint.Handler}'. {Known("Handlers", _handlers.Keys)}");
        }

        var options = new ByteStreamServerOptions { LoggerFactory = loggerFactory, ApplicationServices = services, Name = endpoint.Name };
        foreach ((EndpointKey key, string path, string text) in endpoint.Settings)
        {
            if (!key.TryApply(text, options))
            {
                errors.Add($"{path}: '{text}' is not valid. It takes {key.Takes}.");
            }
        }

        if (errors.Count > before)
        {
            return null;
        }

        try
        {
            endpoint.Configure?.Invoke(options);
            foreach ((_, Action<ByteStreamServerOptions> configure) in _configured.Where(configured => Is(configured.Name, endpoint.Name)))
            {
                configure(options);
            }

            options.Validate();
        }
        catch (ArgumentException invalid)
        {
            errors.Add($"{endpoint.Path}: {invalid.Message}");
            return null;
        }

        return new EndpointPlan(endpoint.Name, endpoint.Path, url!, endpoint.Callback ?? handler!(services), options);
    }

    private static string Known(string what, IEnumerable<string> names)
    {
        string list = string.Join(", ", names.Order(StringComparer.Ordinal));
        return list.Length == 0 ? $"{what} are not registered at all." : $"{what} are: {list}.";
    }

    private static bool Is(string left, string right) => string.Equals(left, right, StringComparison.OrdinalIgnoreCase);
}

/// <summary>An endpoint that was found to be in order.</summary>
internal sealed record EndpointPlan(string Name, string Path, EndpointUrl Url, ByteStreamDelegate Handler, ByteStreamServerOptions Options);

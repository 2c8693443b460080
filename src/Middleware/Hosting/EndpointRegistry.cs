using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Groups;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>The registered handlers, endpoints, and configuration sections with endpoints.</summary>
internal sealed class EndpointRegistry
{
    /// <summary>The built-in handler. A handler of the application with this name replaces it.</summary>
    private const string RelayHandler = "relay";

    private readonly Dictionary<string, Func<IServiceProvider, ByteStreamDelegate>> _handlers = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<EndpointRegistration> _endpoints = [];
    private readonly List<IConfiguration> _sections = [];
    private readonly List<(string Name, Action<ByteStreamServerOptions> Configure)> _configured = [];
    private readonly List<Action<ICollection<string>>> _checks = [];

    /// <summary>The application's service registrations; null if they are not known.</summary>
    public IServiceCollection? Services { get; init; }

    public void Add(string name, Func<IServiceProvider, ByteStreamDelegate> handler)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (!_handlers.TryAdd(name, handler))
        {
            throw new ArgumentException($"A handler '{name}' is registered already; handler names are unique, and case does not matter.", nameof(name));
        }
    }

    /// <summary>The paths of empty sections.</summary>
    public IEnumerable<string> Empty =>
        _sections.Where(section => !section.GetChildren().Any()).Select(section => section is IConfigurationSection { Path: string path } ? path : "(root)");

    /// <summary>The remedy for an empty section: the sections of the configuration that have endpoints.</summary>
    public static string Hint(IConfiguration? configuration)
    {
        // Kestrel's section has HTTP endpoints.
        string[] others =
        [
            .. configuration?.GetChildren().Where(child => !Is(child.Key, "Kestrel") && child.GetSection(EndpointConfiguration.Endpoints).GetChildren().Any())
                .Select(child => $"'{child.Path}'") ?? [],
        ];
        return others.Length > 0
            ? $"Check the name; sections with endpoints are: {string.Join(", ", others)}."
            : "Check the name. A section that a later reload adds is loaded then.";
    }

    /// <summary>The sections, to subscribe to their changes.</summary>
    public IReadOnlyList<IConfiguration> Sections => _sections;

    /// <summary>Reads the keys that apply to all endpoints. Their errors are reported by <see cref="Define(IServiceProvider, ILoggerFactory, IReadOnlyList{EndpointDefinition}, ICollection{string})"/>.</summary>
    public ServiceSettings ReadService()
    {
        var settings = new ServiceSettings();
        foreach (IConfiguration section in _sections)
        {
            EndpointConfiguration.ReadService(section, settings, []);
        }

        return settings;
    }

    public void Add(EndpointRegistration endpoint) => _endpoints.Add(endpoint);

    public void Add(IConfiguration section) => _sections.Add(section);

    public void Add(Action<ICollection<string>> check) => _checks.Add(check);

    public void Configure(string name, Action<ByteStreamServerOptions> configure) => _configured.Add((name, configure));

    /// <summary>Validates all endpoints.</summary>
    /// <param name="services">The services for handlers and middleware.</param>
    /// <param name="loggerFactory">The logger factory of the servers.</param>
    /// <param name="running">The running endpoints, whose permits are kept.</param>
    /// <param name="errors">Receives one line for each error: the key, the cause, the remedy.</param>
    /// <returns>The valid endpoints.</returns>
    public IReadOnlyList<EndpointDefinition> Define(
        IServiceProvider services, ILoggerFactory loggerFactory, IReadOnlyList<EndpointDefinition> running, ICollection<string> errors)
    {
        foreach (Action<ICollection<string>> check in _checks)
        {
            check(errors);
        }

        bool isClustered = Services?.Any(service => service.ServiceType == typeof(ByteStreamBackplane)) ?? false;
        var all = new List<EndpointRegistration>(_endpoints);
        foreach (IConfiguration section in _sections)
        {
            all.AddRange(EndpointConfiguration.Read(EndpointConfiguration.Copy(section), isClustered, errors));
        }

        foreach (IGrouping<string, EndpointRegistration> same in all.GroupBy(endpoint => endpoint.Name, StringComparer.OrdinalIgnoreCase).Where(same => same.Count() > 1))
        {
            errors.Add($"{same.First().Path}: there are {same.Count()} endpoints with this name. Give each endpoint its own name.");
        }

        foreach ((string name, _) in _configured.Where(configured => !all.Any(endpoint => Is(endpoint.Name, configured.Name))))
        {
            errors.Add($"ConfigureEndpoint(\"{name}\"): there is no endpoint with this name. {Known("Endpoints", all.Select(endpoint => endpoint.Name))}");
        }

        var definitions = new List<EndpointDefinition>();
        foreach (EndpointRegistration endpoint in all)
        {
            if (Define(endpoint, services, loggerFactory, running, errors) is EndpointDefinition definition)
            {
                definitions.Add(definition);
            }
        }

        return definitions;
    }

    private EndpointDefinition? Define(
        EndpointRegistration endpoint,
        IServiceProvider services,
        ILoggerFactory loggerFactory,
        IReadOnlyList<EndpointDefinition> running,
        ICollection<string> errors)
    {
        int errorsBefore = errors.Count;
        var options = new ByteStreamServerOptions { LoggerFactory = loggerFactory, ApplicationServices = services, Name = endpoint.Name };
        if (services.GetService<TimeProvider>() is TimeProvider time)
        {
            options.TimeProvider = time;
        }

        var settings = new EndpointSettings { Server = options, Url = endpoint.Url, Handler = endpoint.Handler };
        for (int i = 0; i < endpoint.Sections.Count; i++)
        {
            // The defaults come first; their errors are reported once for all endpoints.
            EndpointConfiguration.Apply(endpoint.Sections[i], settings, i < endpoint.Sections.Count - 1 ? [] : errors);
        }

        if (string.IsNullOrWhiteSpace(endpoint.Name))
        {
            errors.Add($"{endpoint.Path}: the endpoint has an empty name. Give it a name for logs and metrics, such as echo.");
        }

        EndpointUrl? url = EndpointUrl.Parse(settings.Url, out string? wrong);
        if (url is null)
        {
            errors.Add($"{endpoint.Path}:{nameof(EndpointSettings.Url)}: {wrong}");
        }

        Func<IServiceProvider, ByteStreamDelegate>? handler = null;
        bool isRelay = endpoint.Callback is null && settings.Handler is string name && Is(name, RelayHandler) && !_handlers.ContainsKey(name);
        if (endpoint.Callback is null && !isRelay && (settings.Handler is null || !_handlers.TryGetValue(settings.Handler, out handler)))
        {
            errors.Add(string.IsNullOrEmpty(settings.Handler)
                ? $"{endpoint.Path}:{nameof(EndpointSettings.Handler)}: is missing. {Known("Handlers", _handlers.Keys.Append(RelayHandler))}"
                : $"{endpoint.Path}:{nameof(EndpointSettings.Handler)}: there is no handler '{settings.Handler}'. {Known("Handlers", _handlers.Keys.Append(RelayHandler))}");
        }

        // The defaults configure TLS but do not enable it. An empty section of the endpoint does: its author does not expect plain text.
        bool hasOwnTls = endpoint.Sections.Count > 0 && endpoint.Sections[^1].GetChildren().Any(child => Is(child.Key, nameof(EndpointSettings.Tls)));
        bool isTls = (url is { IsTls: true } || hasOwnTls) && settings.Tls.IsEnabled;
        options.HandlerName = settings.Handler ?? "a delegate";
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
        }

        bool isTlsInCode = options.Tls is not null || options.UsedTls is not null;
        if (isTlsInCode && hasOwnTls && isTls)
        {
            errors.Add($"{endpoint.Path}:{nameof(EndpointSettings.Tls)}: code sets TLS too (UseTls, or Tls). Remove one of them.");
        }

        // TLS that code sets satisfies a tls:// URL.
        isTls &= !isTlsInCode;
        if (options.UsedTls is not null)
        {
            foreach (string error in Tls.CertificateCheck.GetErrors(options.UsedTls))
            {
                errors.Add($"{endpoint.Path}:{error}");
            }
        }

        EndpointPipeline.Check(settings, isTls, isRelay, endpoint.Path, errors);
        if (errors.Count > errorsBefore)
        {
            return null;
        }

        // Permits are kept unless Admission changes, so that open connections stay counted.
        string admission = EndpointConfiguration.Signature(endpoint.Sections, key => Is(key, nameof(EndpointSettings.Admission)));
        EndpointDefinition? before = running.FirstOrDefault(definition => definition.IsNamed(endpoint.Name) && definition.AdmissionSignature == admission);
        AdmissionControl? control = before is null ? EndpointPipeline.CreateControl(settings, services) : before.Admission;
        try
        {
            handler ??= isRelay ? EndpointPipeline.AddRelay(settings) : null;
            EndpointPipeline.Add(settings, isTls, control);
        }
        catch (ArgumentException invalid)
        {
            errors.Add($"{endpoint.Path}: {invalid.Message}");
            return null;
        }

        ByteStreamDelegate callback;
        try
        {
            callback = ClusterGate.Add(endpoint.Callback ?? handler!(services), services);
        }
        catch (InvalidOperationException impossible)
        {
            errors.Add($"{endpoint.Path}:{nameof(EndpointSettings.Handler)}: {impossible.Message}");
            return null;
        }

        return new EndpointDefinition(
            endpoint.Name,
            endpoint.Path,
            url!,
            callback,
            options,
            EndpointConfiguration.Signature(endpoint.Sections, _ => true),
            EndpointConfiguration.Signature(
                endpoint.Sections,
                EndpointTable.Listening.Knows),
            control,
            admission)
        {
            Relay = isRelay ? settings.Relay.Options : null,
            Tls = isTls ? settings.Tls.Options : options.UsedTls,
            UpstreamTls = isRelay && EndpointPipeline.HasTlsUpstream(settings.Relay.Options) ? settings.Relay.Options.Tls : null,
        };
    }

    private static string Known(string what, IEnumerable<string> names)
    {
        string list = string.Join(", ", names.Order(StringComparer.Ordinal));
        return list.Length == 0 ? $"{what} are not registered at all." : $"{what} are: {list}.";
    }

    private static bool Is(string left, string right) => string.Equals(left, right, StringComparison.OrdinalIgnoreCase);
}

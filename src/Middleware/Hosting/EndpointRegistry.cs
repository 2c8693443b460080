using ByteStreams.Admission;
using ByteStreams.Configuration;
using ByteStreams.Transport.Addresses;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Hosting;

/// <summary>What was registered: handlers by name, endpoints, and configuration sections to read endpoints from.</summary>
internal sealed class EndpointRegistry
{
    /// <summary>The handler that is always there, unless the application has one of the same name.</summary>
    private const string RelayHandler = "relay";

    private readonly Dictionary<string, Func<IServiceProvider, ByteStreamDelegate>> _handlers = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<EndpointRegistration> _endpoints = [];
    private readonly List<IConfiguration> _sections = [];
    private readonly List<(string Name, Action<ByteStreamServerOptions> Configure)> _configured = [];
    private readonly List<Action<ICollection<string>>> _checks = [];

    /// <summary>What the application has registered; null where that is not known.</summary>
    public IServiceCollection? Services { get; init; }

    public void Add(string name, Func<IServiceProvider, ByteStreamDelegate> handler)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        if (!_handlers.TryAdd(name, handler))
        {
            throw new ArgumentException($"There is a handler '{name}' already; names of handlers are unique, whatever their case.", nameof(name));
        }
    }

    /// <summary>The sections that say nothing.</summary>
    public IEnumerable<string> Empty =>
        _sections.Where(section => !section.GetChildren().Any()).Select(section => section is IConfigurationSection { Path: string path } ? path : "(root)");

    /// <summary>What to do about an empty section: the sections of the application's configuration that have endpoints.</summary>
    public static string Hint(IConfiguration? configuration)
    {
        // Kestrel's own section has endpoints of HTTP.
        string[] others =
        [
            .. configuration?.GetChildren().Where(child => !Is(child.Key, "Kestrel") && child.GetSection(EndpointConfiguration.Endpoints).GetChildren().Any())
                .Select(child => $"'{child.Path}'") ?? [],
        ];
        return others.Length > 0
            ? $"Check the name; sections with endpoints are: {string.Join(", ", others)}."
            : "Check the name. A section that a later reload adds is loaded then.";
    }

    /// <summary>The sections, to hear when they change.</summary>
    public IReadOnlyList<IConfiguration> Sections => _sections;

    /// <summary>What configuration says beside the endpoints. Its mistakes are noted by <see cref="Plan(IServiceProvider, ILoggerFactory, IReadOnlyList{EndpointPlan}, ICollection{string})"/>.</summary>
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

    /// <summary>Checks everything at once.</summary>
    /// <param name="services">What handlers and middleware are made from.</param>
    /// <param name="loggerFactory">Where servers log.</param>
    /// <param name="running">What runs already, and hands its places on.</param>
    /// <param name="errors">Gets one line for each mistake: the key, the cause, the remedy.</param>
    /// <returns>The endpoints that are in order.</returns>
    public IReadOnlyList<EndpointPlan> Plan(
        IServiceProvider services, ILoggerFactory loggerFactory, IReadOnlyList<EndpointPlan> running, ICollection<string> errors)
    {
        foreach (Action<ICollection<string>> check in _checks)
        {
            check(errors);
        }

        var all = new List<EndpointRegistration>(_endpoints);
        foreach (IConfiguration section in _sections)
        {
            all.AddRange(EndpointConfiguration.Read(EndpointConfiguration.Copy(section), errors));
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
            if (Plan(endpoint, services, loggerFactory, running, errors) is EndpointPlan plan)
            {
                plans.Add(plan);
            }
        }

        return plans;
    }

    private EndpointPlan? Plan(
        EndpointRegistration endpoint,
        IServiceProvider services,
        ILoggerFactory loggerFactory,
        IReadOnlyList<EndpointPlan> running,
        ICollection<string> errors)
    {
        int mistakes = errors.Count;
        var options = new ByteStreamServerOptions { LoggerFactory = loggerFactory, ApplicationServices = services, Name = endpoint.Name };
        if (services.GetService<TimeProvider>() is TimeProvider time)
        {
            options.TimeProvider = time;
        }

        var settings = new EndpointSettings { Server = options, Url = endpoint.Url, Handler = endpoint.Handler };
        for (int i = 0; i < endpoint.Sections.Count; i++)
        {
            // The defaults come first; their mistakes were noted once, for all endpoints.
            EndpointConfiguration.Apply(endpoint.Sections[i], settings, i < endpoint.Sections.Count - 1 ? [] : errors);
        }

        if (string.IsNullOrWhiteSpace(endpoint.Name))
        {
            errors.Add($"{endpoint.Path}: the endpoint has an empty name. Give it one, such as echo: logs and metrics name it.");
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

        // The defaults may say how TLS is spoken; that it is, only the endpoint itself says.
        // An empty section is one as well: who writes it does not expect plain text.
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
            errors.Add($"{endpoint.Path}:{nameof(EndpointSettings.Tls)}: the code sets TLS as well (UseTls, or Tls). Remove one of the two.");
        }

        // What the code sets is the TLS that a tls:// URL promises.
        isTls &= !isTlsInCode;
        if (options.UsedTls is not null)
        {
            foreach (string mistake in Tls.CertificateCheck.Mistakes(options.UsedTls))
            {
                errors.Add($"{endpoint.Path}:{mistake}");
            }
        }

        EndpointPipeline.Check(settings, isTls, isRelay, endpoint.Path, errors);
        if (errors.Count > mistakes)
        {
            return null;
        }

        // Its places are kept over a change of anything else, so that connections that are open stay counted.
        string admission = EndpointConfiguration.Signature(endpoint.Sections, key => Is(key, nameof(EndpointSettings.Admission)));
        EndpointPlan? before = running.FirstOrDefault(plan => plan.IsNamed(endpoint.Name) && plan.AdmissionSignature == admission);
        AdmissionControl? control = before is null ? EndpointPipeline.Control(settings, services) : before.Admission;
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
            callback = endpoint.Callback ?? handler!(services);
        }
        catch (InvalidOperationException impossible)
        {
            errors.Add($"{endpoint.Path}:{nameof(EndpointSettings.Handler)}: {impossible.Message}");
            return null;
        }

        return new EndpointPlan(
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

using System.Reflection;
using ByteStreams;

namespace StreamsHost.Admin;

/// <summary><c>GET /endpoints</c>, and <c>POST /drain</c>.</summary>
internal static class Endpoints
{
    private const int MostGroups = 20;

    private static readonly string Version =
        typeof(Endpoints).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];

    public static void MapEndpoints(this WebApplication application)
    {
        application.MapGet("/endpoints", ListAsync);
        application.MapPost("/drain", DrainAsync);
    }

    private static Task ListAsync(HttpContext context)
    {
        IServiceProvider services = context.RequestServices;
        IReadOnlyList<EndpointSnapshot> endpoints = services.GetRequiredService<StatusSampler>().Endpoints();
        return context.AnswerAsync(
            new EndpointsAnswer(
                Version,
                StateOf(services),
                services.GetRequiredService<AdminSettings>().Options.AllowChanges,
                Math.Round(services.GetRequiredService<StatusSampler>().Uptime.TotalSeconds),
                endpoints.Sum(endpoint => endpoint.Active),
                services.GetRequiredService<ByteStreamMonitor>().LastReload is ReloadOutcome reload
                    ? new ReloadAnswer(reload.Time, reload.IsSuccess, reload.Errors.Count, reload.Errors.Count > 0 ? reload.Errors[0] : null)
                    : null,
                Answer(services.GetRequiredService<ByteStreamConnections>()),
                [.. endpoints.Select(Answer)]),
            AdminJson.Default.EndpointsAnswer);
    }

    /// <summary>Responds at once; <c>/endpoints</c> and <c>/readyz</c> report the progress.</summary>
    private static Task DrainAsync(HttpContext context)
    {
        AdminLog.Draining(context.RequestServices.GetRequiredService<ILogger<RequestGuard>>(), AdminClient.Of(context));
        _ = context.RequestServices.GetRequiredService<ByteStreamServers>().DrainAsync(CancellationToken.None);
        context.Response.StatusCode = StatusCodes.Status202Accepted;
        return context.AnswerAsync(new StateAnswer(StateOf(context.RequestServices)), AdminJson.Default.StateAnswer);
    }

    private static string StateOf(IServiceProvider services) =>
        services.GetRequiredService<ByteStreamServers>().State.ToString().ToLowerInvariant();

    private static GroupsAnswer Answer(ByteStreamConnections connections) => new(
        connections.Count,
        connections.GroupCount,
        connections.Sends,
        connections.Deliveries,
        [.. connections.Groups(MostGroups).Select(group => new GroupAnswer(group.Name, group.Members))]);

    private static EndpointAnswer Answer(EndpointSnapshot endpoint) => new(
        endpoint.Name,
        endpoint.Url,
        [.. endpoint.Addresses.Select(address => EndpointUrl.Format(address, endpoint.Certificates.Count > 0))],
        endpoint.Handler,
        endpoint.IsServing,
        endpoint.Active,
        endpoint.Handshakes,
        endpoint.Accepted,
        endpoint.Refused,
        Counts(endpoint, isRefusal: true),
        Counts(endpoint, isRefusal: false),
        endpoint.BytesReceived,
        endpoint.BytesSent,
        [.. endpoint.Certificates.Select(certificate => new CertificateAnswer(certificate.Subject, certificate.NotAfter, certificate.Error))],
        endpoint.ClientAuthoritiesError,
        [.. endpoint.Upstreams.Select(upstream => new UpstreamAnswer(upstream.Name, upstream.Active, upstream.IsHealthy, upstream.IsEjected))]);

    private static Dictionary<string, long> Counts(EndpointSnapshot endpoint, bool isRefusal) => endpoint.Ended
        .Where(pair => CloseReasonText.IsRefusal(pair.Key) == isRefusal)
        .OrderByDescending(pair => pair.Value)
        .ToDictionary(pair => CloseReasonText.GetText(pair.Key), pair => pair.Value);
}

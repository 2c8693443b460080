using ByteStreams.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the byte-stream endpoints to an application's health checks.</summary>
public static class ByteStreamsHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a readiness check: it fails until all endpoints have started, after a stop was requested, and while an endpoint does not accept
    /// clients.
    /// </summary>
    /// <param name="builder">The builder that <c>AddHealthChecks()</c> returns.</param>
    /// <param name="name">The check's name.</param>
    /// <param name="failureStatus">The status of a failure: <see cref="HealthStatus.Unhealthy"/> if null.</param>
    /// <param name="tags">Tags to select checks, such as <c>ready</c>.</param>
    /// <returns>The same builder.</returns>
    /// <remarks>It is no liveness check: an orchestrator would kill a draining process.</remarks>
    /// <example>
    /// <code>
    /// builder.Services.AddHealthChecks().AddByteStreams(tags: ["ready"]);
    /// application.MapHealthChecks("/readyz", new() { Predicate = check =&gt; check.Tags.Contains("ready") });
    /// </code>
    /// </example>
    public static IHealthChecksBuilder AddByteStreams(
        this IHealthChecksBuilder builder, string name = "bytestreams", HealthStatus? failureStatus = null, IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.AddByteStreams();
        return builder.AddCheck<EndpointsHealthCheck>(name, failureStatus, tags ?? []);
    }
}

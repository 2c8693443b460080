using ByteStreams.Hosting;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds the byte-stream endpoints to an application's health checks.</summary>
public static class ByteStreamsHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a check that says whether clients should be sent here: it fails until all endpoints have started, from the moment at which
    /// the application is told to end, and while an endpoint does not accept clients.
    /// </summary>
    /// <param name="builder">What <c>AddHealthChecks()</c> returns.</param>
    /// <param name="name">The check's name.</param>
    /// <param name="failureStatus">What is reported when it fails: <see cref="HealthStatus.Unhealthy"/> if null.</param>
    /// <param name="tags">Tags to choose checks by, such as <c>ready</c>.</param>
    /// <returns>The same builder.</returns>
    /// <remarks>It is about readiness. As a liveness check it would have a draining process killed.</remarks>
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

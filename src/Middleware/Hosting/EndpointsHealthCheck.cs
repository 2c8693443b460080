using ByteStreams.Connections;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace ByteStreams.Hosting;

/// <summary>The readiness of the endpoints.</summary>
internal sealed class EndpointsHealthCheck(ByteStreamServers servers, ByteStreamMetrics metrics, ByteStreamConnections connections) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(Look() is string unready ? new HealthCheckResult(context.Registration.FailureStatus, unready) : HealthCheckResult.Healthy());

    private string? Look()
    {
        switch (servers.State)
        {
            case ByteStreamsState.Starting:
                return "The endpoints have not started.";
            case ByteStreamsState.Draining or ByteStreamsState.Drained:
                return "The endpoints end.";
        }

        if (connections.Backplane?.NotReadyReason is string notReady)
        {
            return notReady;
        }

        string[] closed = [.. servers.Names.Where(name => servers.TryGet(name, out ByteStreamServer? server) && !server.IsServing)];
        if (closed.Length > 0)
        {
            return $"Not serving: {string.Join(", ", closed)}.";
        }

        string[] down = [.. servers.Names.Where(name => servers.GetDefinition(name)?.Relay is { Readiness: true } && !IsAnyUpstreamUp(name))];
        return down.Length == 0 ? null : $"No upstream is up: {string.Join(", ", down)}.";
    }

    private bool IsAnyUpstreamUp(string name) => metrics.UpstreamsOf(name).Any(upstream => upstream is { IsHealthy: true, IsEjected: false });
}

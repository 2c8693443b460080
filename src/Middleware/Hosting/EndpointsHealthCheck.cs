using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace ByteStreams.Hosting;

/// <summary>Whether clients should be sent here.</summary>
internal sealed class EndpointsHealthCheck(ByteStreamServers servers) : IHealthCheck
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

        string[] closed = [.. servers.Names.Where(name => servers.TryGet(name, out ByteStreamServer? server) && !server.IsServing)];
        return closed.Length == 0 ? null : $"Not serving: {string.Join(", ", closed)}.";
    }
}

using System.Diagnostics;
using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Telemetry;

/// <summary>Counts a connection while it is open, and has it reported when it has closed: one line, one measurement, one activity.</summary>
/// <param name="next">The next middleware.</param>
/// <param name="createReporter">
/// Makes the reporter at the first connection: the addresses that name an endpoint are not known before.
/// </param>
/// <param name="metrics">The meter.</param>
internal sealed class TelemetryMiddleware(ConnectionDelegate next, Func<TelemetryReporter> createReporter, ByteStreamMetrics metrics)
    : ConnectionMiddleware(next, forwards: true)
{
    private TelemetryReporter? _reporter;

    protected override Task ServeAsync(ConnectionState connection)
    {
        // A connection is counted once, by the outermost telemetry.
        if (connection.Reporter is null)
        {
            Begin(connection);
        }

        return Next(connection.Connection);
    }

    private void Begin(ConnectionState connection)
    {
        // Two threads may make one each; both report to the same counters.
        TelemetryReporter reporter = _reporter ??= createReporter();
        connection.EnsureLink();
        connection.Reporter = reporter;
        if (connection.Owner is null)
        {
            connection.Began = reporter.Time.GetTimestamp();
        }

        metrics.ConnectionBegan(connection);
        // Called by the runner's asynchronous frame, which confines the current activity to this connection.
        if (reporter.BeginActivity(connection) is Activity activity)
        {
            connection.EnsureMetadata().Activity = activity;
        }
    }
}

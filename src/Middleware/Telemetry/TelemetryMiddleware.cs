using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Tls;
using ByteStreams.Transport;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Telemetry;

/// <summary>Counts a connection while it is open, and tells how it was when it has ended: one line, one measurement, one activity.</summary>
internal sealed class TelemetryMiddleware(
    ConnectionDelegate next, TelemetryOptions options, string? endpointName, Func<string> label, string? handlerName, ByteStreamMetrics metrics, TimeProvider time, ILogger logger)
{
    /// <summary>Who wants connections as activities listens to this source.</summary>
    private static readonly ActivitySource Source = new(ByteStreamMetrics.MeterName);

    // Counts that are all zero are shown as soon as the name is known.
    private readonly string? _name = endpointName is null ? null : metrics.Endpoint(endpointName).Name;
    private ConnectionOrigin? _origin;

    public Task OnConnectionAsync(ConnectionContext context) => ServeAsync(Begin(context));

    /// <summary>
    /// As <see cref="OnConnectionAsync"/>, on behalf of the server that accepted the connection: what it does before and behind is done
    /// here, in the one frame that sleeps as long as the connection lives.
    /// </summary>
    internal async Task ServeAsync(ConnectionContext context, ByteStreamServer server)
    {
        ConnectionRecord? record = null;
        Exception? failure = null;
        try
        {
            await server.BeginAsync(context).ConfigureAwait(false);
            record = Begin(context);
            BeginActivity(record);
            await next(context).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            failure = error;
        }

        await LeaveAsync(context, server, record, failure).ConfigureAwait(false);
    }

    private async Task LeaveAsync(ConnectionContext context, ByteStreamServer server, ConnectionRecord? record, Exception? failure)
    {
        try
        {
            if (record is not null)
            {
                await EndAsync(record, failure).ConfigureAwait(false);
            }
        }
        catch (Exception error)
        {
            failure ??= error;
        }

        try
        {
            if (failure is not null)
            {
                server.OnMiddlewareFailed(context, failure);
            }
        }
        finally
        {
            await server.LeaveAsync(context).ConfigureAwait(false);
        }
    }

    private ConnectionRecord Begin(ConnectionContext context)
    {
        // Not before: the counts of a server that ends may be forgotten between the build of the next one's pipeline and its lease.
        _origin ??= new(metrics.Endpoint(_name ?? label()), handlerName, time, options.LogEmptyConnections);
        var record = new ConnectionRecord(context, ConnectionLink.Of(context), _origin);
        ConnectionLink.Progress(context).Record = record;
        metrics.ConnectionBegan(record);
        return record;
    }

    /// <summary>It sleeps as long as the connection lives, and keeps nothing but the record.</summary>
    private async Task ServeAsync(ConnectionRecord record)
    {
        BeginActivity(record);
        Exception? failure = null;
        try
        {
            await next(record.Connection).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            failure = error;
            throw;
        }
        finally
        {
            await EndAsync(record, failure).ConfigureAwait(false);
        }
    }

    private async Task EndAsync(ConnectionRecord record, Exception? failure)
    {
        if (failure is not null)
        {
            // Whoever is outside of this resets the connection as well; the reason has to be there before the line is written.
            record.Link.Abort(ConnectionEndReason.HandlerError, failure);
        }

        // Middleware that has refused the connection has closed it; one that has only returned leaves that to the server.
        record.Link.Close();
        await ConnectionLink.WaitForEndAsync(record.Connection).ConfigureAwait(false);
        record.RunEndings();
        metrics.ConnectionLeft(record);
        End(record);
    }

    /// <summary>Called by an asynchronous frame that surrounds the handler, so that it is the handler's current activity and nobody else's.</summary>
    private void BeginActivity(ConnectionRecord record)
    {
        if (options.Tracing && Source.HasListeners() && Begin(record.Endpoint.Name, record) is Activity activity)
        {
            record.MoreFacts.Activity = activity;
        }
    }

    private static Activity? Begin(string endpoint, ConnectionRecord record)
    {
        Activity? activity = Source.StartActivity($"connection {endpoint}", ActivityKind.Server);
        if (activity is { IsAllDataRequested: true })
        {
            activity.SetTag("bytestreams.endpoint", endpoint);
            activity.SetTag("bytestreams.connection.id", record.Connection.ConnectionId);
            activity.SetTag("network.transport", record.Connection.LocalEndPoint is UnixDomainSocketEndPoint ? "unix" : "tcp");
            SetAddress(activity, "network.peer", record.Peer);
            SetAddress(activity, "network.local", record.Connection.LocalEndPoint);
        }

        return activity;
    }

    private static void SetAddress(Activity activity, string prefix, EndPoint? endPoint)
    {
        if (endPoint is IPEndPoint ip)
        {
            activity.SetTag($"{prefix}.address", ip.Address.ToString());
            activity.SetTag($"{prefix}.port", ip.Port);
        }
        else if (endPoint is not null)
        {
            activity.SetTag($"{prefix}.address", LogText.Of(endPoint));
        }
    }

    private void End(ConnectionRecord record)
    {
        ConnectionContext context = record.Connection;
        string endpoint = record.Endpoint.Name;
        ConnectionEndReason reason = record.Link.EndReason;
        TimeSpan duration = time.GetElapsedTime(record.Began);
        metrics.ConnectionEnded(record, reason, duration);
        if (record.Facts?.Activity is Activity activity)
        {
            EndActivity(activity, record, reason);
        }

        ILogger log = DebugLogger.For(context, logger);
        if (!options.SummaryLog || !log.IsEnabled(LogLevel.Information))
        {
            return;
        }

        IProxyProtocolFeature? proxy = record.Facts?.Proxy;
        TlsFacts? tls = record.Facts?.Tls;
        long firstByteAt = ConnectionLink.Progress(context).FirstByteAt;
        TelemetryLog.ConnectionEnded(
            log,
            context.ConnectionId,
            EndReasonText.Of(reason),
            endpoint,
            handlerName ?? "-",
            LogText.Of(proxy?.Header.Source ?? record.Peer),
            proxy is null ? "-" : LogText.Of(proxy.ProxyEndPoint),
            tls?.Version ?? "-",
            tls?.ServerName is { Length: > 0 } serverName ? LogText.Escape(serverName) : "-",
            tls?.ClientName is { Length: > 0 } clientName ? LogText.Escape(clientName) : "-",
            record.Facts?.Upstream ?? "-",
            record.Link.BytesReceived,
            record.Link.BytesSent,
            firstByteAt == 0 ? "-" : ((long)time.GetElapsedTime(record.Began, firstByteAt).TotalMilliseconds).ToString(CultureInfo.InvariantCulture),
            (long)duration.TotalMilliseconds);
    }

    private static void EndActivity(Activity activity, ConnectionRecord record, ConnectionEndReason reason)
    {
        activity.SetTag("bytestreams.end_reason", EndReasonText.Of(reason));
        activity.SetTag("bytestreams.bytes_received", record.Link.BytesReceived);
        activity.SetTag("bytestreams.bytes_sent", record.Link.BytesSent);
        if (record.Facts?.Tls is TlsFacts tls)
        {
            activity.SetTag("tls.protocol.name", "tls");
            activity.SetTag("tls.protocol.version", tls.Version);
            activity.SetTag("tls.client.server_name", tls.ServerName is null ? null : LogText.Escape(tls.ServerName));
        }

        if (record.Facts?.Upstream is string upstream)
        {
            activity.SetTag("bytestreams.upstream", upstream);
        }

        if (reason is ConnectionEndReason.HandlerError or ConnectionEndReason.LimitExceeded)
        {
            activity.SetStatus(ActivityStatusCode.Error, EndReasonText.Of(reason));
            activity.SetTag("error.type", EndReasonText.Of(reason));
        }

        activity.Dispose();
    }
}

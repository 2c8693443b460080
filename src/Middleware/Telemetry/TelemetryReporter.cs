using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Telemetry;

/// <summary>Reports the connections of one endpoint to the meter, the log and the activity source.</summary>
internal sealed class TelemetryReporter(
    EndpointCounters counters, string? handlerName, TimeProvider time, TelemetryOptions options, ByteStreamMetrics metrics, ILogger logger)
    : ConnectionReporter(counters, handlerName, time, options.LogEmptyConnections)
{
    private static readonly ActivitySource Source = new(ByteStreamMetrics.MeterName);

    /// <summary>Starts the activity of a connection; null where none is listened to.</summary>
    public Activity? BeginActivity(ConnectionState connection)
    {
        if (!options.Tracing || !Source.HasListeners())
        {
            return null;
        }

        Activity? activity = Source.StartActivity($"connection {Counters.Name}", ActivityKind.Server);
        if (activity is { IsAllDataRequested: true })
        {
            ConnectionContext context = connection.Connection;
            activity.SetTag("bytestreams.endpoint", Counters.Name);
            activity.SetTag("bytestreams.connection.id", context.ConnectionId);
            activity.SetTag("network.transport", context.LocalEndPoint is UnixDomainSocketEndPoint ? "unix" : "tcp");
            SetAddress(activity, "network.peer", connection.Peer);
            SetAddress(activity, "network.local", context.LocalEndPoint);
            SetAddress(activity, "server", context.LocalEndPoint);
            if (context.LocalEndPoint is IPEndPoint { Address: IPAddress address })
            {
                activity.SetTag("network.type", address.AddressFamily == AddressFamily.InterNetwork || address.IsIPv4MappedToIPv6 ? "ipv4" : "ipv6");
            }
        }

        return activity;
    }

    public override void Report(ConnectionState connection)
    {
        IByteStreamTransportFeature link = connection.Link!;
        ConnectionCloseReason reason = link.CloseReason;
        TimeSpan duration = Time.GetElapsedTime(connection.Began);
        metrics.ConnectionLeft(connection);
        metrics.ConnectionEnded(connection, reason, duration);
        if (connection.Metadata?.Activity is Activity activity)
        {
            EndActivity(activity, connection, reason);
        }

        if (options.SummaryLog && logger.IsEnabled(LogLevel.Information))
        {
            LogSummary(connection, link, reason, duration);
        }
    }

    private void LogSummary(ConnectionState connection, IByteStreamTransportFeature link, ConnectionCloseReason reason, TimeSpan duration)
    {
        ProxyMetadata? proxy = connection.Metadata?.Proxy;
        TlsMetadata? tls = connection.Metadata?.Tls;
        long firstByteAt = ConnectionLink.Progress(connection.Connection).FirstByteAt;
        TelemetryLog.ConnectionEnded(
            DebugLogger.For(connection, logger),
            connection.Connection.ConnectionId,
            CloseReasonText.GetText(reason),
            Counters.Name,
            HandlerName ?? "-",
            LogText.Of(proxy?.Source ?? connection.Peer),
            proxy is null ? "-" : LogText.Of(proxy.ProxyEndPoint),
            tls?.Version ?? "-",
            tls?.ServerName is { Length: > 0 } serverName ? LogText.Escape(serverName) : "-",
            tls?.ClientName is { Length: > 0 } clientName ? LogText.Escape(clientName) : "-",
            connection.Metadata?.Upstream ?? "-",
            link.BytesReceived,
            link.BytesSent,
            firstByteAt == 0 ? "-" : ((long)Time.GetElapsedTime(connection.Began, firstByteAt).TotalMilliseconds).ToString(CultureInfo.InvariantCulture),
            (long)duration.TotalMilliseconds);
    }

    private static void EndActivity(Activity activity, ConnectionState connection, ConnectionCloseReason reason)
    {
        activity.SetTag("bytestreams.close_reason", CloseReasonText.GetText(reason));
        activity.SetTag("bytestreams.bytes_received", connection.Link!.BytesReceived);
        activity.SetTag("bytestreams.bytes_sent", connection.Link.BytesSent);
        // Behind a proxy, the client and not the proxy, as the header says.
        SetAddress(activity, "client", connection.Metadata?.Proxy?.Source ?? connection.Peer);
        if (connection.Metadata?.Tls is TlsMetadata tls)
        {
            activity.SetTag("tls.protocol.name", "tls");
            activity.SetTag("tls.protocol.version", tls.Version);
            activity.SetTag("tls.client.server_name", tls.ServerName is null ? null : LogText.Escape(tls.ServerName));
        }

        if (connection.Metadata?.Upstream is string upstream)
        {
            activity.SetTag("bytestreams.upstream", upstream);
        }

        if (reason is ConnectionCloseReason.HandlerError or ConnectionCloseReason.LimitExceeded
            or ConnectionCloseReason.FrameTooLong or ConnectionCloseReason.InvalidFrame)
        {
            activity.SetStatus(ActivityStatusCode.Error, CloseReasonText.GetText(reason));
            activity.SetTag("error.type", CloseReasonText.GetText(reason));
        }

        activity.Dispose();
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
}

using System.Globalization;
using System.Net;
using ByteStreams;

namespace StreamsHost.Admin;

/// <summary><c>GET /connections</c>, and <c>DELETE /connections/ID</c>.</summary>
internal static class Connections
{
    private const int DefaultLimit = 100;
    private const int MostAtOnce = 1000;

    public static void MapConnections(this WebApplication application)
    {
        application.MapGet("/connections", ListAsync);
        application.MapDelete("/connections/{id}", EndAsync);
    }

    public static ConnectionAnswer Answer(ConnectionSnapshot connection) => new(
        connection.Id,
        connection.Endpoint,
        connection.Handler,
        Text(connection.Peer),
        Text(connection.Proxy),
        connection.TlsVersion,
        connection.ServerName,
        connection.ClientName,
        connection.Upstream,
        connection.BytesReceived,
        connection.BytesSent,
        Math.Round(connection.Age.TotalSeconds, 3),
        connection.Idle is TimeSpan idle ? Math.Round(idle.TotalSeconds, 1) : null,
        connection.CloseReason == ConnectionCloseReason.None ? null : CloseReasonText.GetText(connection.CloseReason));

    private static Task ListAsync(HttpContext context)
    {
        IQueryCollection query = context.Request.Query;
        if (!TryRead(query, "limit", 1, MostAtOnce, DefaultLimit, out long limit))
        {
            return context.RefuseAsync(StatusCodes.Status400BadRequest, $"limit: '{LogText.Escape(query["limit"].ToString())}' is not valid. It takes a number from 1 to {MostAtOnce}.");
        }

        if (!TryRead(query, "before", 0, long.MaxValue, long.MaxValue, out long before))
        {
            return context.RefuseAsync(StatusCodes.Status400BadRequest, $"before: '{LogText.Escape(query["before"].ToString())}' is not valid. It takes what the last answer says as before.");
        }

        ByteStreamMonitor monitor = context.RequestServices.GetRequiredService<ByteStreamMonitor>();
        string? endpoint = query["endpoint"].ToString() is { Length: > 0 } name ? name : null;
        IReadOnlyList<ConnectionSnapshot> connections = monitor.Connections((int)limit, before, endpoint);
        return context.AnswerAsync(
            new ConnectionsAnswer(monitor.Active, [.. connections.Select(Answer)], connections.Count < limit ? null : connections[^1].Number),
            AdminJson.Default.ConnectionsAnswer);
    }

    private static Task EndAsync(HttpContext context)
    {
        ByteStreamMonitor monitor = context.RequestServices.GetRequiredService<ByteStreamMonitor>();
        string id = (string)context.Request.RouteValues["id"]!;
        if (!monitor.TryGetConnection(id, out ConnectionSnapshot? connection) || !monitor.Abort(id))
        {
            return context.RefuseAsync(StatusCodes.Status404NotFound, $"There is no open connection '{LogText.Escape(id)}'.");
        }

        AdminLog.ConnectionEnded(context.RequestServices.GetRequiredService<ILogger<RequestGuard>>(), AdminClient.Of(context), connection.Id, connection.Endpoint);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    }

    private static bool TryRead(IQueryCollection query, string name, long least, long most, long byDefault, out long value)
    {
        string text = query[name].ToString();
        value = byDefault;
        return text.Length == 0
            || (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= least && value <= most);
    }

    /// <summary>Null for a Unix client without a name of its own; an abstract name with the @ that people write.</summary>
    private static string? Text(EndPoint? endPoint) => endPoint?.ToString() is { Length: > 0 } text ? text.Replace('\0', '@') : null;
}

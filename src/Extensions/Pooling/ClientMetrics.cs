using System.Diagnostics;

namespace ByteStreams.Pooling;

/// <summary>The metrics of one client.</summary>
internal sealed class ClientMetrics(PoolMetrics all, string client, PoolTarget target)
{
    public void Changed(bool isIdle, int change)
    {
        TagList tags = Tags(null);
        tags.Add("bytestreams.client.connection.state", isIdle ? "idle" : "used");
        all.Connections.Add(change, tags);
    }

    public void Connected(TimeSpan duration, string? error) => all.ConnectDuration.Record(duration.TotalSeconds, Tags(error));

    public void Acquired(TimeSpan duration, string? error) => all.AcquireDuration.Record(duration.TotalSeconds, Tags(error));

    public void Closed(string reason)
    {
        TagList tags = Tags(null);
        tags.Add("bytestreams.client.close_reason", reason);
        all.ClosedConnections.Add(1, tags);
    }

    public Activity? StartActivity(string name)
    {
        Activity? activity = PoolMetrics.Activities.StartActivity(name, ActivityKind.Client);
        if (activity is { IsAllDataRequested: true })
        {
            foreach (KeyValuePair<string, object?> tag in Tags(null))
            {
                activity.SetTag(tag.Key, tag.Value);
            }

            activity.SetTag("network.transport", target.Port == 0 && target.Host.StartsWith('/') ? "unix" : "tcp");
        }

        return activity;
    }

    public static void Fail(Activity? activity, Exception error)
    {
        activity?.SetTag("error.type", PoolConnector.GetErrorType(error));
        activity?.SetStatus(ActivityStatusCode.Error, error.Message);
    }

    private TagList Tags(string? error)
    {
        var tags = new TagList { { "bytestreams.client.name", client }, { "server.address", target.Host } };
        if (target.Port > 0)
        {
            tags.Add("server.port", target.Port);
        }

        if (error is not null)
        {
            tags.Add("error.type", error);
        }

        return tags;
    }
}

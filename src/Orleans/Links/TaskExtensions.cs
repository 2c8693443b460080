namespace ByteStreams.Cluster.Links;

/// <summary>Waits that may end before what they wait for.</summary>
internal static class TaskExtensions
{
    /// <summary>Done when the wait is over, also after its time. Other failures remain.</summary>
    public static async Task Quietly(this Task wait)
    {
        try
        {
            await wait.ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The caller need not know: what it waited for goes on.
        }
    }
}

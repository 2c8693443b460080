namespace ByteStreams.Cluster.Links;

/// <summary>Extensions for waits with a timeout.</summary>
internal static class TaskExtensions
{
    /// <summary>Completes with the wait, and ignores its timeout. Other exceptions propagate.</summary>
    public static async Task IgnoreTimeout(this Task wait)
    {
        try
        {
            await wait.ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The awaited operation continues.
        }
    }
}

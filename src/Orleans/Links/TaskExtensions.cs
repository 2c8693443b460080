namespace ByteStreams.Cluster.Links;

/// <summary>Extensions for waits that end before the awaited operation.</summary>
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

    /// <summary>Marks the exception of a task as observed, whether or not the task is awaited to its end.</summary>
    public static void ObserveException(this Task task) => _ = task.ContinueWith(
        static failed => _ = failed.Exception,
        CancellationToken.None,
        TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
        TaskScheduler.Default);
}

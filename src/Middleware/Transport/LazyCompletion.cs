namespace ByteStreams.Transport;

/// <summary>
/// An event that happens once, and whose task is made for the first caller that awaits it: on most connections none does. Needs no lock.
/// </summary>
internal struct LazyCompletion
{
    private static readonly TaskCompletionSource Done = MakeDone();

    // Null until the event or the first caller, which comes first makes it.
    private TaskCompletionSource? _source;

    /// <summary>Whether it has happened.</summary>
    public readonly bool IsDone => Volatile.Read(in _source) is { Task.IsCompleted: true };

    /// <summary>Done when it happens; never faulted. Always the same task.</summary>
    public Task GetTask() => (Volatile.Read(ref _source)
        ?? Interlocked.CompareExchange(ref _source, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), null)
        ?? _source).Task;

    public void Complete() => Interlocked.CompareExchange(ref _source, Done, null)?.TrySetResult();

    private static TaskCompletionSource MakeDone()
    {
        var done = new TaskCompletionSource();
        done.SetResult();
        return done;
    }
}

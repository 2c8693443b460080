namespace ByteStreams.Transport;

/// <summary>
/// An event that happens once, and whose task is made for the first caller that awaits it: on most connections none does. Needs no lock.
/// </summary>
internal struct LazyCompletion
{
    private TaskCompletionSource? _source;
    private bool _isDone;

    /// <summary>Whether it has happened.</summary>
    public readonly bool IsDone => Volatile.Read(in _isDone);

    /// <summary>Done when it happens; never faulted. Always the same task.</summary>
    public Task GetTask()
    {
        if (Volatile.Read(ref _source) is null && IsDone)
        {
            return Task.CompletedTask;
        }

        TaskCompletionSource source = Volatile.Read(ref _source)
            ?? Interlocked.CompareExchange(ref _source, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), null)
            ?? _source;
        if (IsDone)
        {
            source.TrySetResult();
        }

        return source.Task;
    }

    public void Complete()
    {
        Volatile.Write(ref _isDone, true);
        // A caller makes the source and then looks at the flag: one of the two sees the other.
        Interlocked.MemoryBarrier();
        Volatile.Read(ref _source)?.TrySetResult();
    }
}

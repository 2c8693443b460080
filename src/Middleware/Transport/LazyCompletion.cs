namespace ByteStreams.Transport;

/// <summary>
/// An event that happens once, and whose task is made for the first caller that awaits it: on most connections none does. Guarded by a
/// lock of its owner.
/// </summary>
internal struct LazyCompletion
{
    private TaskCompletionSource? _source;
    private bool _isDone;

    /// <summary>Whether it has happened. Can be read without the lock.</summary>
    public readonly bool IsDone => Volatile.Read(in _isDone);

    /// <summary>Done when it happens; never faulted. Always the same task.</summary>
    public Task GetTask()
    {
        if (_source is null && _isDone)
        {
            return Task.CompletedTask;
        }

        _source ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return _source.Task;
    }

    public void Complete()
    {
        Volatile.Write(ref _isDone, true);
        _source?.TrySetResult();
    }
}

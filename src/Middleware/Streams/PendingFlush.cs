using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace ByteStreams.Streams;

/// <summary>A flush that waits for the transport, and the drains that wait for it. Used again by each flush that waits. Guarded by the writer's lock.</summary>
/// <param name="onFlushed">Called without the lock when the flush completes; calls <see cref="End"/>.</param>
internal sealed class PendingFlush(Action onFlushed)
{
    private ConfiguredValueTaskAwaitable<FlushResult>.ConfiguredValueTaskAwaiter _flush;
    private TaskCompletionSource? _drained;

    /// <summary>Whether a flush waits: no other may begin.</summary>
    public bool IsUnderWay { get; private set; }

    /// <summary>Completes when the flush is done and no further one waits. One task for any number of callers.</summary>
    public Task Drained => (_drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Not awaited and never cancelled: any number of drains may wait for one flush.</summary>
    public void Begin(ConfiguredValueTaskAwaitable<FlushResult>.ConfiguredValueTaskAwaiter flush)
    {
        IsUnderWay = true;
        _flush = flush;
        flush.UnsafeOnCompleted(onFlushed);
    }

    /// <summary>The result of the flush that has completed; throws what it threw.</summary>
    public FlushResult End()
    {
        IsUnderWay = false;
        return _flush.GetResult();
    }

    /// <summary>Releases the drains: no more than the low-water mark is queued.</summary>
    public void Release()
    {
        (TaskCompletionSource? drained, _drained) = (_drained, null);
        drained?.TrySetResult();
    }

    /// <summary>Fails the drains.</summary>
    public void Fail(Exception error)
    {
        (TaskCompletionSource? drained, _drained) = (_drained, null);
        drained?.TrySetException(error);
        // All callers may have left by cancellation: the exception is observed here.
        _ = drained?.Task.Exception;
    }
}

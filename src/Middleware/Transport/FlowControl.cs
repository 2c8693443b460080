using System.IO.Pipelines;

namespace ByteStreams.Transport;

/// <summary>
/// The marks of an output: a flush that leaves more than the high-water mark queued waits until no more than the low-water mark is (W5, W6).
/// Guarded by the lock of its <see cref="TransportPipeWriter"/>; the marks can be read without it.
/// </summary>
internal struct FlowControl
{
    // One word, so that both are of one moment.
    private long _marks;
    private TaskCompletionSource<FlushResult>? _drained;

    /// <summary>The marks in bytes.</summary>
    public (int High, int Low) Marks
    {
        readonly get
        {
            long marks = Volatile.Read(in _marks);
            return ((int)(marks >> 32), (int)marks);
        }

        set => Volatile.Write(ref _marks, ((long)value.High << 32) | (uint)value.Low);
    }

    public readonly int High => Marks.High;

    /// <summary>Whether a flush waits. Can be read without the lock.</summary>
    public readonly bool IsWaiting => Volatile.Read(in _drained) is not null;

    /// <summary>Waits for the low-water mark. Any number of flushes may; all of them share the task.</summary>
    public Task<FlushResult> WaitAsync() =>
        (_drained ??= new TaskCompletionSource<FlushResult>(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Completes the flushes that wait, if no more than the low-water mark is queued.</summary>
    public void ReleaseAt(long queued)
    {
        if (_drained is not null && queued <= Marks.Low)
        {
            TakeWaiting()!.SetResult(default);
        }
    }

    /// <summary>What the flushes wait for, which the caller completes; null if none waits.</summary>
    public TaskCompletionSource<FlushResult>? TakeWaiting()
    {
        TaskCompletionSource<FlushResult>? drained = _drained;
        _drained = null;
        return drained;
    }
}

namespace ByteStreams.Transport;

/// <summary>
/// Sends the small flushes of one output together, at the end of the loop's dispatch or on the thread pool: HTTP flushes several times for
/// one answer, and once for each of many answers.
/// </summary>
internal sealed class CoalescedFlushes(TransportPipeWriter writer) : IDispatchWork, IThreadPoolWorkItem
{
    private bool _isMarked;

    /// <summary>Notes, under the writer's lock, that bytes wait to be sent.</summary>
    /// <returns>Whether they are the first: the caller then calls <see cref="Schedule"/>, outside of the lock.</returns>
    public bool Mark()
    {
        bool isFirst = !_isMarked;
        _isMarked = true;
        return isFirst;
    }

    /// <summary>The bytes are being sent, under the writer's lock.</summary>
    public void Clear() => _isMarked = false;

    public void Schedule()
    {
        LoopDispatch? dispatch = LoopDispatch.Current;
        dispatch?.Add(this);
        if (dispatch is not { IsAlone: false })
        {
            // In a thread-pool thread's own queue it runs after the work item that flushes now, unless another thread is idle.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
        }
    }

    /// <summary>The end of the loop's dispatch.</summary>
    void IDispatchWork.OnDispatchEnd() => writer.SendCoalesced(this);

    void IThreadPoolWorkItem.Execute() => writer.SendCoalesced(this);
}

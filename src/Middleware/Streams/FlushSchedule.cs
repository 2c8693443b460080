using ByteStreams.Transport;

namespace ByteStreams.Streams;

/// <summary>
/// Sends a writer's bytes that no drain and no read sends (W1): at the end of the loop's dispatch, by a work item of the thread pool, or by the
/// tick of <see cref="DeferredFlush"/>. A mutable struct: a field of its writer, guarded by the writer's lock except where noted.
/// </summary>
internal struct FlushSchedule(DeferredFlush deferred)
{
    private LoopDispatch? _dispatch;
    private bool _enrolled;
    private bool _old;

    /// <summary>The writer has bytes that were not flushed.</summary>
    /// <param name="writer">The owner of this field.</param>
    /// <param name="isReadWaiting">Whether another task waits in a read of the same connection.</param>
    public void Enroll(ByteStreamWriter writer, bool isReadWaiting)
    {
        // On the engine's own threads the end of the dispatch sends it; of each dispatch that writes, for another one may take long.
        LoopDispatch? dispatch = LoopDispatch.Current;
        if (dispatch is not null && Interlocked.Exchange(ref _dispatch, dispatch) != dispatch)
        {
            dispatch.Add(writer);
        }

        if (dispatch is not { IsAlone: false } && !_enrolled)
        {
            _enrolled = true;
            if (isReadWaiting)
            {
                // No read of this task will send it. A work item does, most likely after the writes that follow.
                ThreadPool.UnsafeQueueUserWorkItem(writer, preferLocal: true);
            }
            else
            {
                deferred.Enroll(writer);
            }
        }
    }

    /// <summary>Everything written so far was flushed: what is written from now on is young.</summary>
    public void Restart() => _old = false;

    /// <summary>The work item of the thread pool runs.</summary>
    public void Leave() => _enrolled = false;

    /// <summary>The dispatch ends; called without the lock. A later write on another thread belongs to a dispatch of its own.</summary>
    public void LeaveDispatch() => _ = Interlocked.Exchange(ref _dispatch, null);

    /// <summary>One tick of <see cref="DeferredFlush"/>.</summary>
    /// <param name="hasWork">Whether bytes wait to be flushed; else the writer leaves.</param>
    /// <returns>Whether the bytes are at least one tick old, and are to be flushed now.</returns>
    public bool OnTick(bool hasWork)
    {
        _enrolled = hasWork;
        bool isDue = hasWork && _old;
        _old |= hasWork;
        return isDue;
    }
}

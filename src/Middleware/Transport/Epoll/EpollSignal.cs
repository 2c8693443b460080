using System.Threading.Tasks.Sources;

namespace ByteStreams.Transport.Epoll;

/// <summary>What a send waits on until the socket accepts more. One wait at a time; the object is used again.</summary>
internal class EpollSignal : IValueTaskSource
{
    private ManualResetValueTaskSourceCore<bool> _core;

    /// <summary>The task of the present wait.</summary>
    public ValueTask Task => new(this, _core.Version);

    public void Reset() => _core.Reset();

    /// <param name="asynchronously">Whether the continuation runs on the thread pool and not in this call.</param>
    public void Complete(bool asynchronously)
    {
        _core.RunContinuationsAsynchronously = asynchronously;
        _core.SetResult(true);
    }

    public void Fail(Exception error)
    {
        _core.RunContinuationsAsynchronously = true;
        _core.SetException(error);
    }

    public void GetResult(short token) => _core.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public virtual void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}

/// <summary>
/// What the start of a handler waits on. The channel is registered with its loop only once a continuation waits here, because otherwise the
/// handler's first line would run on the thread that awaits.
/// </summary>
internal sealed class EpollStartSignal(EpollChannel channel) : EpollSignal
{
    public override void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags)
    {
        base.OnCompleted(continuation, state, token, flags);
        channel.BeginStart();
    }
}

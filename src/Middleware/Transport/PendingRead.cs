using System.IO.Pipelines;
using System.Threading.Tasks.Sources;

namespace ByteStreams.Transport;

/// <summary>The read that waits on a <see cref="TransportPipeReader"/>, and its cancellation. Guarded by the reader's lock.</summary>
internal struct PendingRead
{
    private ManualResetValueTaskSourceCore<ReadResult> _source;
    private CancellationToken _announced;
    private Registered? _registered;
    private bool _isWaiting;
    private bool _isAnnounced;

    /// <summary>Whether a read waits. Can be read without the lock.</summary>
    public readonly bool IsWaiting => Volatile.Read(in _isWaiting);

    /// <summary>The owner of this token calls <see cref="TransportPipeReader.CancelWait"/> after it has fired: a read with it registers nothing.</summary>
    public void Announce(CancellationToken token) => _announced = token;

    /// <summary>Begins to wait.</summary>
    /// <param name="reader">The reader, which is the source of the task.</param>
    /// <param name="token">Ends the wait.</param>
    public ValueTask<ReadResult> Begin(TransportPipeReader reader, CancellationToken token)
    {
        Volatile.Write(ref _isWaiting, true);
        _source.Reset();
        short version = _source.Version;
        _isAnnounced = token == _announced;
        if (!_isAnnounced)
        {
            Register(reader, token);
        }

        return new ValueTask<ReadResult>(reader, version);
    }

    /// <summary>
    /// Ends the wait. The caller completes the read by <see cref="SetResult"/> or <see cref="SetException"/> once it has left the lock.
    /// </summary>
    /// <param name="asynchronously">Whether the reader's continuation runs on the thread pool and not in the completing call.</param>
    /// <returns>Whether a read waited.</returns>
    public bool TryEnd(bool asynchronously)
    {
        if (!_isWaiting)
        {
            return false;
        }

        _isWaiting = false;
        _source.RunContinuationsAsynchronously = asynchronously;
        return true;
    }

    /// <summary>Whether a read waits with this token.</summary>
    public readonly bool IsWaitingWith(CancellationToken token) =>
        _isWaiting && token == (_isAnnounced ? _announced : _registered?.Token ?? default);

    public void SetResult(in ReadResult result) => _source.SetResult(result);

    public void SetException(Exception error) => _source.SetException(error);

    public readonly void Unregister() => _registered?.Registration.Unregister();

    public readonly ReadResult GetResult(short token) => _source.GetResult(token);

    public readonly ValueTaskSourceStatus GetStatus(short token) => _source.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);

    /// <summary>
    /// Registers on every wait: <see cref="CancellationTokenSource.TryReset"/> drops registrations but keeps the token. A registration is
    /// taken back by the next wait, where it delays no completion; until then its callback finds no wait with its token.
    /// </summary>
    private void Register(TransportPipeReader reader, CancellationToken token)
    {
        _registered ??= new Registered();
        _registered.Registration.Unregister();
        // First: the callback of a token that has fired runs within the registration.
        _registered.Token = token;
        _registered.Registration = token.UnsafeRegister(static (reader, fired) => ((TransportPipeReader)reader!).CancelWait(fired), reader);
    }

    /// <summary>The token of the last wait that had one of its own; 24 bytes that most connections do without.</summary>
    private sealed class Registered
    {
        public CancellationToken Token;
        public CancellationTokenRegistration Registration;
    }
}

using ByteStreams.Groups;

namespace ByteStreams.Cluster.Links;

/// <summary>A message that waits for free space in the queue for a host. Its memory belongs to the sender, which awaits it.</summary>
internal sealed class WaitingMessage(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, int size)
{
    private const int Waits = 0;
    private const int Taken = 1;
    private const int Canceled = 2;

    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _state;

    public TargetKind Kind => kind;

    public string Name => name;

    public string? Except => except;

    public ReadOnlyMemory<byte> Message => message;

    public int Size => size;

    public bool IsCanceled => Volatile.Read(ref _state) == Canceled;

    /// <summary>Completes when the message is queued or dropped.</summary>
    /// <exception cref="OperationCanceledException">The token is canceled; the message is not sent to this host.</exception>
    public async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        await using (cancellationToken.UnsafeRegister(
            static (waiting, token) => ((WaitingMessage)waiting!).Cancel(token), this).ConfigureAwait(false))
        {
            await _done.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Claims the message for the queue. Returns false if it was canceled.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref _state, Taken, Waits) == Waits;

    /// <summary>Releases the sender.</summary>
    public void Complete() => _done.TrySetResult();

    private void Cancel(CancellationToken token)
    {
        if (Interlocked.CompareExchange(ref _state, Canceled, Waits) == Waits)
        {
            _done.TrySetCanceled(token);
        }
    }
}

using ByteStreams.Groups;

namespace ByteStreams.Cluster.Links;

/// <summary>A message that waits for room in the queue for a host. Its memory is the sender's, who waits.</summary>
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

    /// <summary>Done when the message is queued, or is dropped with the queue.</summary>
    /// <exception cref="OperationCanceledException">The token has fired; the message does not go to this host.</exception>
    public async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        await using (cancellationToken.UnsafeRegister(
            static (waiting, token) => ((WaitingMessage)waiting!).Cancel(token), this).ConfigureAwait(false))
        {
            await _done.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Takes the message to queue it; false if its sender has given up.</summary>
    public bool TryTake() => Interlocked.CompareExchange(ref _state, Taken, Waits) == Waits;

    /// <summary>The sender may go on.</summary>
    public void Complete() => _done.TrySetResult();

    private void Cancel(CancellationToken token)
    {
        if (Interlocked.CompareExchange(ref _state, Canceled, Waits) == Waits)
        {
            _done.TrySetCanceled(token);
        }
    }
}

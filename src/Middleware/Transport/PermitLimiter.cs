using System.Threading.RateLimiting;

namespace ByteStreams.Transport;

/// <summary>
/// A concurrency limit with a first-come, first-served queue. Unlike <see cref="SemaphoreSlim"/> and <see cref="ConcurrencyLimiter"/> its limit can
/// change, and a permit is no object. Permits that are held stay valid when the limit falls.
/// </summary>
/// <param name="most">The limit.</param>
internal sealed class PermitLimiter(int most)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource> _waiting = new();
    private int _most = most;
    private int _taken;

    /// <summary>The limit. A higher limit grants permits to queued callers.</summary>
    public int Most
    {
        get => Volatile.Read(ref _most);
        set
        {
            lock (_gate)
            {
                _most = value;
                LetIn();
            }
        }
    }

    /// <summary>The number of permits that are held.</summary>
    public int Taken => Volatile.Read(ref _taken);

    /// <summary>The number of queued callers.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Acquires a permit if one is available and the queue is empty.</summary>
    public bool TryEnter()
    {
        lock (_gate)
        {
            if (_taken >= _most || _waiting.Count > 0)
            {
                return false;
            }

            _taken++;
            return true;
        }
    }

    /// <summary>Acquires a permit, waiting for one if necessary. A cancelled call acquires none.</summary>
    public async ValueTask EnterAsync(CancellationToken cancellationToken)
    {
        LinkedListNode<TaskCompletionSource> waiter;
        lock (_gate)
        {
            if (TryEnter())
            {
                return;
            }

            waiter = _waiting.AddLast(new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        using (cancellationToken.UnsafeRegister(_ => Forget(waiter, cancellationToken), null))
        {
            await waiter.Value.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Releases a permit.</summary>
    public void Release()
    {
        lock (_gate)
        {
            _taken--;
            LetIn();
        }
    }

    private void LetIn()
    {
        while (_taken < _most && _waiting.First is LinkedListNode<TaskCompletionSource> first)
        {
            _waiting.RemoveFirst();
            _taken++;
            first.Value.SetResult();
        }
    }

    private void Forget(LinkedListNode<TaskCompletionSource> waiter, CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            // A waiter that has left the queue has its permit.
            if (waiter.List is not null)
            {
                _waiting.Remove(waiter);
                waiter.Value.SetCanceled(cancellationToken);
            }
        }
    }
}

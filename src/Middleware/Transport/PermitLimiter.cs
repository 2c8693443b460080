using System.Threading.RateLimiting;

namespace ByteStreams.Transport;

/// <summary>
/// So many at once, first come, first served; with a number that may change meanwhile, unlike <see cref="SemaphoreSlim"/>'s and
/// <see cref="ConcurrencyLimiter"/>'s, and without an object for each place. Who is in stays in when the number falls.
/// </summary>
/// <param name="most">The number.</param>
internal sealed class PermitLimiter(int most)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource> _waiting = new();
    private int _most = most;
    private int _taken;

    /// <summary>The number. A greater one lets those in who wait.</summary>
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

    /// <summary>How many are in.</summary>
    public int Taken => Volatile.Read(ref _taken);

    /// <summary>How many wait.</summary>
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

    /// <summary>Takes a place where one is free and nobody waits for it.</summary>
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

    /// <summary>Takes a place, and waits for one where none is free. Cancellation takes none.</summary>
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

    /// <summary>Gives a place back.</summary>
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
            // Off the list it has its place already, and keeps it.
            if (waiter.List is not null)
            {
                _waiting.Remove(waiter);
                waiter.Value.SetCanceled(cancellationToken);
            }
        }
    }
}

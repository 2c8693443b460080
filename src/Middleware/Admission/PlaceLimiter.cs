using System.Threading.RateLimiting;

namespace ByteStreams.Admission;

/// <summary>
/// So many at once, first come, first served; unlike <see cref="ConcurrencyLimiter"/> with a number that may change meanwhile. Who is
/// in stays in when it falls.
/// </summary>
/// <param name="most">The number.</param>
internal sealed class PlaceLimiter(int most) : RateLimiter
{
    private static readonly Place None = new(null);

    private readonly Lock _gate = new();
    private readonly LinkedList<TaskCompletionSource<RateLimitLease>> _waiting = new();
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

    public override TimeSpan? IdleDuration => null;

    public override RateLimiterStatistics GetStatistics()
    {
        lock (_gate)
        {
            return new RateLimiterStatistics { CurrentAvailablePermits = Math.Max(0, _most - _taken), CurrentQueuedCount = _waiting.Count };
        }
    }

    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(permitCount, 1);
        lock (_gate)
        {
            return TryTake() ? new Place(this) : None;
        }
    }

    protected override async ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(permitCount, 1);
        LinkedListNode<TaskCompletionSource<RateLimitLease>> waiter;
        lock (_gate)
        {
            if (TryTake())
            {
                return new Place(this);
            }

            waiter = _waiting.AddLast(new TaskCompletionSource<RateLimitLease>(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        using (cancellationToken.UnsafeRegister(_ => Forget(waiter, cancellationToken), null))
        {
            return await waiter.Value.Task.ConfigureAwait(false);
        }
    }

    /// <summary>Who waits comes before who has just come.</summary>
    private bool TryTake()
    {
        if (_taken >= _most || _waiting.Count > 0)
        {
            return false;
        }

        _taken++;
        return true;
    }

    private void LetIn()
    {
        while (_taken < _most && _waiting.First is LinkedListNode<TaskCompletionSource<RateLimitLease>> first)
        {
            _waiting.RemoveFirst();
            _taken++;
            first.Value.SetResult(new Place(this));
        }
    }

    private void Forget(LinkedListNode<TaskCompletionSource<RateLimitLease>> waiter, CancellationToken cancellationToken)
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

    private void Leave()
    {
        lock (_gate)
        {
            _taken--;
            LetIn();
        }
    }

    private sealed class Place(PlaceLimiter? limiter) : RateLimitLease
    {
        private PlaceLimiter? _limiter = limiter;

        public override bool IsAcquired { get; } = limiter is not null;

        public override IEnumerable<string> MetadataNames => [];

        public override bool TryGetMetadata(string metadataName, out object? metadata)
        {
            metadata = null;
            return false;
        }

        protected override void Dispose(bool disposing)
        {
            Interlocked.Exchange(ref _limiter, null)?.Leave();
            base.Dispose(disposing);
        }
    }
}

using System.Threading.RateLimiting;

namespace ByteStreams.Admission;

/// <summary>
/// A token bucket for each client, of a bounded number of clients: two generations, of which the older is forgotten whole when the
/// younger has half of the bound. A client that connects again moves to the younger.
/// </summary>
internal sealed class ClientRates(int perSecond, int burst, int most)
{
    private readonly Lock _gate = new();
    private Dictionary<ClientNetwork, TokenBucketRateLimiter> _young = [];
    private Dictionary<ClientNetwork, TokenBucketRateLimiter> _old = [];

    /// <summary>The number of clients with a bucket.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _young.Count + _old.Count;
            }
        }
    }

    public bool TryAcquire(ClientNetwork client) => Acquire(Of(client));

    /// <summary>A bucket that refills when a token is acquired, without a timer.</summary>
    public static TokenBucketRateLimiter Bucket(int perSecond, int burst) => new(new TokenBucketRateLimiterOptions
    {
        TokenLimit = burst,
        TokensPerPeriod = perSecond,
        ReplenishmentPeriod = TimeSpan.FromSeconds(1),
        AutoReplenishment = false,
        QueueLimit = 0,
    });

    public static bool Acquire(TokenBucketRateLimiter bucket)
    {
        bucket.TryReplenish();
        using RateLimitLease lease = bucket.AttemptAcquire();
        return lease.IsAcquired;
    }

    private TokenBucketRateLimiter Of(ClientNetwork client)
    {
        lock (_gate)
        {
            if (_young.TryGetValue(client, out TokenBucketRateLimiter? bucket))
            {
                return bucket;
            }

            if (_young.Count >= most / 2)
            {
                (_old, _young) = (_young, []);
            }

            if (!_old.Remove(client, out bucket))
            {
                bucket = Bucket(perSecond, burst);
            }

            _young.Add(client, bucket);
            return bucket;
        }
    }
}

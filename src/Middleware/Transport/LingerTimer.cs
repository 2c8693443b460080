namespace ByteStreams.Transport;

/// <summary>A timer that all connections with the same slice share, because a timer per connection would cost more than the close.</summary>
/// <remarks>The first slice of a connection is up to one slice short. A timer stops at the first tick without a connection.</remarks>
internal sealed class LingerTimer
{
    private static readonly Lock Gate = new();
    private static readonly Dictionary<(TimeProvider Time, TimeSpan Slice), LingerTimer> Timers = [];

    private readonly (TimeProvider Time, TimeSpan Slice) _key;
    private readonly List<Linger> _lingering = [];
    private Linger[] _due = [];
    private ITimer? _timer;
    private int _ticking;

    private LingerTimer((TimeProvider Time, TimeSpan Slice) key) => _key = key;

    public static void Add(Linger linger)
    {
        lock (Gate)
        {
            (TimeProvider, TimeSpan) key = (linger.Time, linger.Slice);
            if (!Timers.TryGetValue(key, out LingerTimer? timer))
            {
                timer = Timers[key] = new LingerTimer(key);
                timer.Start();
            }

            linger.Timer = timer;
            linger.Index = timer._lingering.Count;
            timer._lingering.Add(linger);
        }
    }

    /// <summary>Returns whether the connection was registered.</summary>
    public static bool Remove(Linger linger)
    {
        lock (Gate)
        {
            if (linger.Timer is not LingerTimer timer)
            {
                return false;
            }

            List<Linger> all = timer._lingering;
            Linger last = all[^1];
            all[linger.Index] = last;
            last.Index = linger.Index;
            all.RemoveAt(all.Count - 1);
            linger.Timer = null;
            return true;
        }
    }

    private void Start()
    {
        // The timer would keep the caller's execution context alive.
        using (ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow())
        {
            _timer = _key.Time.CreateTimer(static self => ((LingerTimer)self!).OnTick(), this, _key.Slice, _key.Slice);
        }
    }

    private void OnTick()
    {
        // If a tick takes longer than a slice, the next one is skipped.
        if (Interlocked.Exchange(ref _ticking, 1) != 0)
        {
            return;
        }

        int count;
        lock (Gate)
        {
            count = _lingering.Count;
            if (count == 0)
            {
                // A tick that was queued before the dispose runs after it, when the key may belong to another timer.
                _ = ((ICollection<KeyValuePair<(TimeProvider, TimeSpan), LingerTimer>>)Timers).Remove(new(_key, this));
                _timer!.Dispose();
            }

            if (_due.Length < count)
            {
                _due = new Linger[Math.Max(count, 2 * _due.Length)];
            }

            _lingering.CopyTo(_due);
        }

        foreach (Linger linger in _due.AsSpan(0, count))
        {
            linger.OnSlice();
        }

        Array.Clear(_due, 0, count);
        Volatile.Write(ref _ticking, 0);
    }
}

namespace StreamsHost.Lifetime;

/// <summary>
/// Tells a second request to end from signals that belong to the first: coreutils' <c>timeout</c> signals its child and then its process
/// group, and so does a terminal or a supervisor that signals a group whose members pass the signal on.
/// </summary>
internal sealed class EndingSignals(TimeProvider time)
{
    /// <summary>How long after the first signal others belong to it: more than a program needs for two calls, less than a person for two keys.</summary>
    public static readonly TimeSpan Burst = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private long? _first;
    private bool _isHurried;

    /// <summary>Counts a signal that arrives now. Signals may arrive concurrently.</summary>
    public EndingRequest Receive()
    {
        lock (_lock)
        {
            if (_first is not long first)
            {
                _first = time.GetTimestamp();
                return EndingRequest.Drain;
            }

            if (_isHurried || time.GetElapsedTime(first) <= Burst)
            {
                return EndingRequest.None;
            }

            _isHurried = true;
            return EndingRequest.Abort;
        }
    }
}

/// <summary>What a signal asks for.</summary>
internal enum EndingRequest
{
    /// <summary>Nothing that an earlier signal has not asked for.</summary>
    None,

    /// <summary>A drain: it is the first signal.</summary>
    Drain,

    /// <summary>An end within a second.</summary>
    Abort,
}

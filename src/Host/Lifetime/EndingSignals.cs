namespace StreamsHost.Lifetime;

/// <summary>
/// Distinguishes a second request to stop from signals that belong to the first: coreutils' <c>timeout</c> signals its child and then its
/// process group, and so does a terminal or a supervisor that signals a group whose members forward the signal.
/// </summary>
internal sealed class EndingSignals(TimeProvider time)
{
    /// <summary>How long after the first signal others belong to it: longer than a program takes for two calls, shorter than a person for two keys.</summary>
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

/// <summary>The request of a signal.</summary>
internal enum EndingRequest
{
    /// <summary>No new request.</summary>
    None,

    /// <summary>A drain: it is the first signal.</summary>
    Drain,

    /// <summary>An exit within a second.</summary>
    Abort,
}

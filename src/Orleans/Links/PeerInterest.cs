namespace ByteStreams.Cluster.Links;

/// <summary>The hashes of the groups with a member on another host. Senders read it concurrently with updates by the incoming link.</summary>
internal sealed class PeerInterest
{
    private readonly Lock _gate = new();
    private HashSet<ulong> _groups = [];
    private HashSet<ulong>? _next;
    private volatile bool _isKnown;
    private volatile bool _isComplete;

    /// <summary>Whether the host has announced all of its groups at least once.</summary>
    public bool IsKnown => _isKnown;

    /// <summary>Whether the groups are all known now. Not while the host sends them again.</summary>
    public bool IsComplete => _isComplete;

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _groups.Count;
            }
        }
    }

    public bool Contains(ulong group)
    {
        lock (_gate)
        {
            return _groups.Contains(group);
        }
    }

    /// <summary>Starts a full announcement. The current groups remain in use until it is complete.</summary>
    public void BeginSnapshot()
    {
        _isComplete = false;
        _next = [];
    }

    /// <summary>Completes a full announcement, which replaces the groups.</summary>
    public void CompleteSnapshot()
    {
        lock (_gate)
        {
            (_groups, _next) = (_next ?? _groups, null);
        }

        _isKnown = true;
        _isComplete = true;
    }

    public void Add(ulong group)
    {
        if (_next is not null)
        {
            _next.Add(group);
            return;
        }

        lock (_gate)
        {
            _groups.Add(group);
        }
    }

    public void Remove(ulong group)
    {
        if (_next is not null)
        {
            _next.Remove(group);
            return;
        }

        lock (_gate)
        {
            _groups.Remove(group);
            if (_groups.Count < _groups.Capacity / 4)
            {
                _groups.TrimExcess(_groups.Capacity / 2);
            }
        }
    }
}

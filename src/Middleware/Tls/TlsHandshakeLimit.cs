namespace ByteStreams.Tls;

/// <summary>
/// Limits the handshakes in progress. At the limit a new handshake aborts the oldest one, so that stalled clients do not keep others out (F21).
/// </summary>
/// <param name="limit">The maximum number of handshakes in progress.</param>
internal sealed class TlsHandshakeLimit(int limit)
{
    private readonly Lock _gate = new();
    private readonly LinkedList<Handshake> _inProgress = [];

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _inProgress.Count;
            }
        }
    }

    public Handshake Begin()
    {
        Handshake? oldest = null;
        var begun = new Handshake(this);
        lock (_gate)
        {
            if (_inProgress.Count >= limit)
            {
                oldest = _inProgress.First!.Value;
                _inProgress.RemoveFirst();
            }

            begun.Node = _inProgress.AddLast(begun);
        }

        oldest?.Evict();
        return begun;
    }

    private void End(Handshake handshake)
    {
        lock (_gate)
        {
            if (handshake.Node?.List is not null)
            {
                _inProgress.Remove(handshake.Node);
            }
        }
    }

    internal sealed class Handshake(TlsHandshakeLimit limit) : IDisposable
    {
        private readonly CancellationTokenSource _evicted = new();

        /// <summary>Cancelled when a newer handshake takes the place of this one.</summary>
        public CancellationToken Evicted => _evicted.Token;

        public LinkedListNode<Handshake>? Node { get; set; }

        public void Evict() => _ = _evicted.CancelAsync();

        public void Dispose() => limit.End(this);
    }
}

namespace ByteStreams.Tls;

/// <summary>The handshakes in progress, oldest first: one too many ends the oldest, so that clients that stall keep nobody out (F21).</summary>
internal sealed class TlsHandshakes(int most)
{
    private readonly LinkedList<Handshake> _inProgress = [];

    public int Count
    {
        get
        {
            lock (_inProgress)
            {
                return _inProgress.Count;
            }
        }
    }

    public Handshake Begin()
    {
        Handshake? oldest = null;
        var begun = new Handshake(this);
        lock (_inProgress)
        {
            if (_inProgress.Count >= most)
            {
                oldest = _inProgress.First!.Value;
                _inProgress.RemoveFirst();
            }

            begun.Node = _inProgress.AddLast(begun);
        }

        oldest?.Evict();
        return begun;
    }

    internal sealed class Handshake(TlsHandshakes all) : IDisposable
    {
        private readonly CancellationTokenSource _evicted = new();

        /// <summary>Fires when others need the place.</summary>
        public CancellationToken Evicted => _evicted.Token;

        public LinkedListNode<Handshake>? Node { get; set; }

        public void Evict() => _ = _evicted.CancelAsync();

        public void Dispose()
        {
            lock (all._inProgress)
            {
                if (Node?.List is not null)
                {
                    all._inProgress.Remove(Node);
                }
            }
        }
    }
}

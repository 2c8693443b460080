using System.Diagnostics.CodeAnalysis;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster.Links;

/// <summary>
/// The sender of batches to another host: stop-and-wait, with one batch in flight. An unacknowledged batch is resent with its number. A host that
/// does not answer for <see cref="ByteStreamClusterOptions.LinkTimeout"/> is suspect: its queue is dropped and counted, and messages for it are
/// dropped. After its first answer it receives all groups of this host again.
/// </summary>
internal sealed class OutgoingLink : IDisposable
{
    /// <summary>The assumed minimum throughput of a link. The answer to a large batch may take that much longer.</summary>
    private const double SlowestBytesPerSecond = 4 << 20;

    /// <summary>The number of rejections in succession after which the other host is suspect.</summary>
    private const int ToleratedRefusals = 2;

    /// <summary>The maximum delay between two attempts.</summary>
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(1);

    /// <summary>The maximum delay before a new epoch, for a host that keeps rejecting batches.</summary>
    private static readonly TimeSpan LongestRenewal = TimeSpan.FromSeconds(10);

    private readonly SiloAddress _self;
    private readonly SiloAddress _host;
    private readonly ILinkOwner _owner;
    private readonly ILinkTransport _transport;
    private readonly ByteStreamClusterOptions _options;
    private readonly ClusterMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly Queue<LinkChunk> _chunks = new();
    private readonly Queue<WaitingMessage> _waiting = new();
    private readonly CancellationTokenSource _closed = new();
    private LinkChunk? _last;
    private long _queued;
    private long _queuedMessages;
    private long _heardAt;
    private int _refusals;
    private long _epoch;
    private long _number;
    private bool _isRunning;
    private bool _isSuspect;
    private bool _isUnknownThere;
    private bool _isSnapshotOpen;
    private bool _isClosed;

    public OutgoingLink(
        SiloAddress self,
        SiloAddress host,
        ILinkOwner owner,
        ILinkTransport transport,
        ByteStreamClusterOptions options,
        ClusterMetrics metrics,
        ILogger logger)
    {
        _self = self;
        _host = host;
        _owner = owner;
        _transport = transport;
        _options = options;
        _metrics = metrics;
        _time = options.TimeProvider;
        _logger = logger;
    }

    /// <summary>Whether the other host is suspect: it has not answered for LinkTimeout.</summary>
    public bool IsSuspect => Volatile.Read(ref _isSuspect);

    /// <summary>Whether the last answer of the other host was that it does not know this host.</summary>
    public bool IsUnknownThere => Volatile.Read(ref _isUnknownThere);

    /// <summary>Whether the link is closed, after which it sends nothing.</summary>
    public bool IsClosed => Volatile.Read(ref _isClosed);

    /// <summary>The number of bytes queued or in flight.</summary>
    public long Queued => Interlocked.Read(ref _queued);

    /// <summary>Returns the time that a batch may take in addition to LinkTimeout.</summary>
    public static TimeSpan TransferTime(LinkBatch batch) => TimeSpan.FromSeconds(batch.Content.Length / SlowestBytesPerSecond);

    /// <summary>Starts the link with all groups of this host. Called under the backplane's lock.</summary>
    public void Begin(LocalInterest interest)
    {
        lock (_gate)
        {
            BeginEpoch(interest);
            Run();
        }
    }

    /// <summary>Queues a message; waits while the queue is full. The message is dropped if the host is suspect or has left.</summary>
    public ValueTask SendAsync(TargetKind kind, string name, string? except, ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        int size = LinkChunk.Measure(name, except, message.Length);
        WaitingMessage waiting;
        lock (_gate)
        {
            if (_isClosed)
            {
                return default;
            }

            if (_isSuspect)
            {
                _metrics.Lost(1);
                return default;
            }

            if (_waiting.Count == 0 && HasCapacity(size))
            {
                Add(kind, name, except, message.Span, size);
                return default;
            }

            waiting = new WaitingMessage(kind, name, except, message, size);
            _waiting.Enqueue(waiting);
        }

        return waiting.WaitAsync(cancellationToken);
    }

    /// <summary>Announces or withdraws a group. Called under the backplane's lock.</summary>
    /// <returns>Completes when the other host has applied an announcement, is suspect, or has left; synchronously for a withdrawal.</returns>
    public Task SendInterest(LinkEntry entry, ulong group)
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return Task.CompletedTask;
            }

            LinkChunk chunk = Chunk();
            int before = chunk.Length;
            chunk.AddInterest(entry, group);
            _queued += chunk.Length - before;
            Run();
            return _isSuspect || entry != LinkEntry.Interest ? Task.CompletedTask : chunk.Acknowledged;
        }
    }

    /// <summary>Closes the older connections of a user on the other host.</summary>
    public void Replace(string user, long number, string id)
    {
        lock (_gate)
        {
            if (_isClosed || _isSuspect)
            {
                return;
            }

            LinkChunk chunk = Chunk();
            int before = chunk.Length;
            chunk.AddReplace(user, number, id);
            _queued += chunk.Length - before;
            Run();
        }
    }

    /// <summary>Sends an empty batch if none is in flight, so that both hosts detect a failed link.</summary>
    public void Beat()
    {
        lock (_gate)
        {
            if (!_isClosed && !_isRunning)
            {
                Chunk();
                Run();
            }
        }
    }

    /// <summary>Completes when the entries that are queued now are acknowledged or dropped.</summary>
    public Task CatchUpAsync()
    {
        lock (_gate)
        {
            if (_isClosed || _isSuspect)
            {
                return Task.CompletedTask;
            }

            Task acknowledged = Chunk().Acknowledged;
            Run();
            return acknowledged;
        }
    }

    /// <summary>Completes when all queued and waiting messages are acknowledged or dropped.</summary>
    public async Task FlushAsync()
    {
        bool isEmpty = false;
        while (!isEmpty)
        {
            Task acknowledged;
            lock (_gate)
            {
                if (_isClosed || _isSuspect)
                {
                    return;
                }

                isEmpty = _waiting.Count == 0;
                acknowledged = Chunk().Acknowledged;
                Run();
            }

            await acknowledged.ConfigureAwait(false);
        }
    }

    /// <summary>Closes the link and drops its queue, because one of the hosts has left the cluster.</summary>
    public void Dispose()
    {
        WaitingMessage[] waiting;
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            Volatile.Write(ref _isClosed, true);
            waiting = [.. _waiting];
            _waiting.Clear();
            DropChunks(successor: null);
        }

        _closed.Cancel();
        foreach (WaitingMessage message in waiting)
        {
            message.Complete();
        }
    }

    /// <summary>Whether the queue has capacity for a message. Interest entries do not count, because joins must not delay messages.</summary>
    private bool HasCapacity(int size) => _queuedMessages == 0 || _queuedMessages + size <= _options.LinkQueue;

    private void Add(TargetKind kind, string name, string? except, ReadOnlySpan<byte> message, int size)
    {
        Chunk().AddMessage(kind, name, except, message);
        _queued += size;
        _queuedMessages += size;
        Run();
    }

    /// <summary>Returns the chunk for the next entry.</summary>
    private LinkChunk Chunk()
    {
        if (_last is null or { IsFull: true })
        {
            _last = new LinkChunk();
            _chunks.Enqueue(_last);
        }

        return _last;
    }

    private void Run()
    {
        if (!_isRunning && !_isClosed)
        {
            _isRunning = true;
            // Without the caller's ExecutionContext: the pump outlives the caller, and Orleans would send the context's values to the other host.
            ThreadPool.UnsafeQueueUserWorkItem(static link => _ = link.PumpAsync(), this, preferLocal: false);
        }
    }

    private async Task PumpAsync()
    {
        LinkChunk? chunk = null;
        try
        {
            while (TryTake(out chunk, out LinkBatch? batch))
            {
                switch (await DeliverAsync(batch).ConfigureAwait(false))
                {
                    case LinkReply.Accepted:
                        Accepted(chunk);
                        break;
                    case LinkReply.Fenced:
                        Renew(chunk, isSuspect: true);
                        _owner.OnFenced(_host);
                        return;
                    case LinkReply.Renew:
                        // After a silence one renewal is enough. A host that refuses again and again must not make senders wait.
                        Renew(chunk, isSuspect: _refusals >= ToleratedRefusals);
                        await Task.Delay(RenewalPause(), _time, _closed.Token).ConfigureAwait(false);
                        break;
                    case LinkReply.Leaving:
                        // Its connections have closed: nothing is lost.
                        ClusterLog.HostLeaves(_logger, _host);
                        Dispose();
                        _owner.OnLinkChanged();
                        return;
                    default:
                        Renew(chunk, isSuspect: true);
                        break;
                }
            }
        }
        catch (OperationCanceledException) when (_closed.IsCancellationRequested)
        {
            // The link is closed.
        }
        catch (Exception fault)
        {
            // A bug. Without eviction, this host would silently send nothing to the other host.
            ClusterLog.LinkFailed(_logger, fault, _host);
            Dispose();
            _owner.OnFailed(fault);
        }
        finally
        {
            // Releases the waiters of a link that closes; otherwise the chunk is already acknowledged.
            chunk?.Acknowledge();
        }
    }

    /// <summary>Backs off for a host that keeps rejecting batches, such as one with another version: each epoch sends all groups.</summary>
    private TimeSpan RenewalPause()
    {
        TimeSpan pause = _options.LinkRetry * Math.Pow(2, Math.Min(_refusals++, 10));
        return pause < LongestRenewal ? pause : LongestRenewal;
    }

    /// <summary>Takes the next chunk and creates its batch. Returns false if there is none.</summary>
    private bool TryTake([NotNullWhen(true)] out LinkChunk? chunk, [NotNullWhen(true)] out LinkBatch? batch)
    {
        batch = null;
        lock (_gate)
        {
            if (_isClosed || !_chunks.TryDequeue(out chunk))
            {
                _isRunning = false;
                chunk = null;
                return false;
            }

            if (_last == chunk)
            {
                _last = null;
            }

            _number++;
            batch = new LinkBatch { Sender = _self, Epoch = _epoch, Number = _number, Content = chunk.ToContent() };
            return true;
        }
    }

    /// <summary>Sends a batch until it is answered. Returns <see cref="LinkReply.Unknown"/> after LinkTimeout.</summary>
    private async Task<LinkReply> DeliverAsync(LinkBatch batch)
    {
        var answer = new TaskCompletionSource<LinkReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _heardAt, _time.GetTimestamp());
        TimeSpan allowed = _options.LinkTimeout + TransferTime(batch);
        TimeSpan pause = _options.LinkRetry + TransferTime(batch);
        _metrics.Sent();
        while (true)
        {
            // Not awaited: a connection reset does not fail a pending call, and the reply to an earlier attempt counts as well.
            _ = AttemptAsync(batch, answer);
            TimeSpan left = Left(allowed);
            try
            {
                return await answer.Task.WaitAsync(left < pause ? left : pause, _time, _closed.Token).ConfigureAwait(false);
            }
            catch (TimeoutException) when (Left(allowed) > TimeSpan.Zero)
            {
                _metrics.Resent();
                pause = pause < LongestRetry ? TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, LongestRetry.Ticks)) : pause;
            }
            catch (TimeoutException)
            {
                return LinkReply.Unknown;
            }
        }
    }

    /// <summary>Returns the time until the allowed silence is over, or zero below 1 ms, the resolution of timers.</summary>
    private TimeSpan Left(TimeSpan allowed)
    {
        TimeSpan left = allowed - _time.GetElapsedTime(Volatile.Read(ref _heardAt));
        return left < TimeSpan.FromMilliseconds(1) ? TimeSpan.Zero : left;
    }

    private async Task AttemptAsync(LinkBatch batch, TaskCompletionSource<LinkReply> answer)
    {
        try
        {
            LinkReply reply = await _transport.SendAsync(_host, batch).ConfigureAwait(false);
            if (reply == LinkReply.Working)
            {
                // The host is busy and not silent.
                Volatile.Write(ref _heardAt, _time.GetTimestamp());
            }

            Volatile.Write(ref _isUnknownThere, reply == LinkReply.Unknown);
            if (reply is not (LinkReply.Working or LinkReply.Unknown))
            {
                answer.TrySetResult(reply);
            }
        }
        catch (Exception failure)
        {
            // DeliverAsync retries after its delay.
            ClusterLog.AttemptFailed(_logger, failure, _host);
        }
    }

    private void Accepted(LinkChunk chunk)
    {
        bool isBack;
        List<WaitingMessage>? admitted = null;
        lock (_gate)
        {
            isBack = _isSuspect && !_isClosed;
            if (!_isClosed)
            {
                _refusals = 0;
                Volatile.Write(ref _isSuspect, false);
                _queued -= chunk.Length;
                _queuedMessages -= chunk.MessageBytes;
                CompleteSnapshot();
                Admit(ref admitted);
            }
        }

        chunk.Acknowledge();
        Complete(admitted);
        if (isBack)
        {
            ClusterLog.HostIsBack(_logger, _host);
            _owner.OnLinkChanged();
        }
    }

    /// <summary>Starts a new epoch with all groups of this host. Queued and waiting messages are dropped, because they may be outdated.</summary>
    /// <param name="chunk">The chunk that was in flight.</param>
    /// <param name="isSuspect">Whether the other host becomes suspect.</param>
    private void Renew(LinkChunk chunk, bool isSuspect)
    {
        int lost = chunk.Messages;
        bool isEnded = false;
        bool isNew = false;
        List<WaitingMessage>? completed = null;
        _owner.WithInterest(interest =>
        {
            lock (_gate)
            {
                isEnded = _isClosed;
                if (isEnded)
                {
                    return;
                }

                lost += _chunks.Sum(queued => queued.Messages) + _waiting.Count(message => !message.IsCanceled);
                completed = [.. _waiting];
                _waiting.Clear();
                isNew = isSuspect && !_isSuspect;
                Volatile.Write(ref _isSuspect, _isSuspect || isSuspect);
                // For a responsive host, waiters wait for the announcement of all groups. For a suspect host, they are released.
                var successor = new LinkChunk();
                successor.Inherit(chunk);
                DropChunks(successor);
                BeginEpoch(interest);
                if (_isSuspect)
                {
                    successor.Acknowledge();
                }
                else
                {
                    _chunks.Last().Inherit(successor);
                }
            }
        });
        if (isEnded)
        {
            chunk.Acknowledge();
            return;
        }

        Complete(completed);
        _metrics.Lost(lost);
        if (isNew)
        {
            ClusterLog.HostIsSuspect(_logger, _host, _options.LinkTimeout.TotalSeconds, lost);
            _owner.OnLinkChanged();
        }
        else if (lost > 0)
        {
            ClusterLog.LinkRenewed(_logger, _host, lost);
        }
    }

    private void BeginEpoch(LocalInterest interest)
    {
        _epoch = _owner.NextEpoch();
        _number = 0;
        // The first batch is empty, so that a host that does not answer is not sent all groups with each attempt.
        Chunk();
        _last = null;
        foreach (ulong group in interest.Groups)
        {
            Chunk().AddInterest(LinkEntry.Interest, group);
        }

        _isSnapshotOpen = true;
        _queued = _chunks.Sum(chunk => (long)chunk.Length);
    }

    /// <summary>
    /// Ends the snapshot after the first batch of the epoch is acknowledged. A join does not wait for a suspect host, so its group must precede the
    /// end of the snapshot: until then the other host sends every message.
    /// </summary>
    private void CompleteSnapshot()
    {
        if (_isSnapshotOpen)
        {
            _isSnapshotOpen = false;
            LinkChunk chunk = Chunk();
            int before = chunk.Length;
            chunk.AddInterestComplete();
            _queued += chunk.Length - before;
        }
    }

    private void DropChunks(LinkChunk? successor)
    {
        foreach (LinkChunk chunk in _chunks)
        {
            if (successor is null)
            {
                chunk.Acknowledge();
            }
            else
            {
                successor.Inherit(chunk);
            }
        }

        _chunks.Clear();
        _last = null;
        _queued = 0;
        _queuedMessages = 0;
    }

    /// <summary>Moves waiting messages to the queue, in order.</summary>
    private void Admit(ref List<WaitingMessage>? admitted)
    {
        while (_waiting.TryPeek(out WaitingMessage? next) && (next.IsCanceled || HasCapacity(next.Size)))
        {
            _waiting.Dequeue();
            // A canceled message is skipped.
            if (next.TryTake())
            {
                Add(next.Kind, next.Name, next.Except, next.Message.Span, next.Size);
                (admitted ??= []).Add(next);
            }
        }
    }

    private static void Complete(List<WaitingMessage>? messages)
    {
        foreach (WaitingMessage message in messages ?? [])
        {
            message.Complete();
        }
    }
}

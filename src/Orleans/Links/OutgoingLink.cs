using System.Diagnostics.CodeAnalysis;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster.Links;

/// <summary>
/// What this host sends to another: numbered batches, one in flight. A batch that is not answered is sent again under its number. A host that does
/// not answer for <see cref="ByteStreamClusterOptions.LinkTimeout"/> is suspect: its queue is dropped and counted, nothing is queued for it, and
/// with its first answer it learns all groups of this host anew.
/// </summary>
internal sealed class OutgoingLink : IDisposable
{
    /// <summary>What a link carries in a second at the least: the answer to a long batch may take that much longer.</summary>
    private const double SlowestBytesPerSecond = 4 << 20;

    /// <summary>The other host may refuse that often in succession before it counts as suspect.</summary>
    private const int ToleratedRefusals = 2;

    /// <summary>The longest pause between two attempts.</summary>
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause before the link begins again, for a host that answers and refuses.</summary>
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

    /// <summary>Whether the other host does not answer.</summary>
    public bool IsSuspect => Volatile.Read(ref _isSuspect);

    /// <summary>Whether the other host answered last that it does not know this one.</summary>
    public bool IsUnknownThere => Volatile.Read(ref _isUnknownThere);

    /// <summary>Whether nothing is sent any more.</summary>
    public bool IsClosed => Volatile.Read(ref _isClosed);

    /// <summary>Bytes that are queued or in flight.</summary>
    public long Queued => Interlocked.Read(ref _queued);

    /// <summary>The time that a batch may take in addition to the time-out.</summary>
    public static TimeSpan TransferTime(LinkBatch batch) => TimeSpan.FromSeconds(batch.Content.Length / SlowestBytesPerSecond);

    /// <summary>Begins with all groups of this host. Called under the backplane's lock.</summary>
    public void Begin(LocalInterest interest)
    {
        lock (_gate)
        {
            BeginEpoch(interest);
            Run();
        }
    }

    /// <summary>Queues a message; waits while the queue is full. Nothing happens for a host that is suspect or gone.</summary>
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

            if (_waiting.Count == 0 && HasRoom(size))
            {
                Add(kind, name, except, message.Span, size);
                return default;
            }

            waiting = new WaitingMessage(kind, name, except, message, size);
            _waiting.Enqueue(waiting);
        }

        return waiting.WaitAsync(cancellationToken);
    }

    /// <summary>Tells the other host that a group has a member here, or none. Called under the backplane's lock.</summary>
    /// <returns>Done when it knows, is suspect or gone.</returns>
    public Task Tell(LinkEntry entry, ulong group)
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

    /// <summary>Ends the older connections of a user there.</summary>
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

    /// <summary>Sends an empty batch if nothing else is under way, so that both sides know that the link works.</summary>
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

    /// <summary>Completes when the other host has applied what is queued now, is suspect or has left.</summary>
    public Task CatchUp()
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

    /// <summary>Done when everything that is queued, or waits for the queue, was answered, or is not waited for any more.</summary>
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

    /// <summary>The other host is gone, or this one: nothing is sent any more.</summary>
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
            DropChunks(heir: null);
        }

        _closed.Cancel();
        foreach (WaitingMessage message in waiting)
        {
            message.Complete();
        }
    }

    /// <summary>Whether the queue takes a message. Interest has no limit, and must not delay messages.</summary>
    private bool HasRoom(int size) => _queuedMessages == 0 || _queuedMessages + size <= _options.LinkQueue;

    private void Add(TargetKind kind, string name, string? except, ReadOnlySpan<byte> message, int size)
    {
        Chunk().AddMessage(kind, name, except, message);
        _queued += size;
        _queuedMessages += size;
        Run();
    }

    /// <summary>Where the next entry goes.</summary>
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
            // Without the caller's execution context: it would outlive the caller's request, and Orleans would send its values to the other host.
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
            // The other host is gone.
        }
        catch (Exception fault)
        {
            // A fault of this program, which must not be silent: nothing goes to that host any more.
            ClusterLog.LinkFailed(_logger, fault, _host);
            Dispose();
            _owner.OnFailed(fault);
        }
        finally
        {
            // Of a link that ends; otherwise it was answered.
            chunk?.Acknowledge();
        }
    }

    /// <summary>A host that refuses again and again runs another version: it must not get all groups four times a second.</summary>
    private TimeSpan RenewalPause()
    {
        TimeSpan pause = _options.LinkRetry * Math.Pow(2, Math.Min(_refusals++, 10));
        return pause < LongestRenewal ? pause : LongestRenewal;
    }

    /// <summary>Takes the next batch; false if there is none.</summary>
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

    /// <summary>Sends a batch until it is answered, or the time is over, which is <see cref="LinkReply.Unknown"/>.</summary>
    private async Task<LinkReply> DeliverAsync(LinkBatch batch)
    {
        var answer = new TaskCompletionSource<LinkReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _heardAt, _time.GetTimestamp());
        TimeSpan allowed = _options.LinkTimeout + TransferTime(batch);
        TimeSpan pause = _options.LinkRetry + TransferTime(batch);
        _metrics.Sent();
        while (true)
        {
            // Not awaited: a reset of the connection does not fail a call that is under way, and the answer of an earlier attempt counts too.
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

    /// <summary>The time until the other host has been silent for too long, in the whole milliseconds of timers.</summary>
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
                // It has much to do, and is not silent.
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
            // The next attempt follows when its time has come.
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

    /// <summary>Begins again with all groups of this host. What was queued, or waited for the queue, is dropped: it may be old.</summary>
    /// <param name="chunk">What was in flight.</param>
    /// <param name="isSuspect">Whether the other host does not answer.</param>
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
                // Who waits for a host that answers waits until it knows all groups again; nobody waits for a suspect one.
                var heir = new LinkChunk();
                heir.Inherit(chunk);
                DropChunks(heir);
                BeginEpoch(interest);
                if (_isSuspect)
                {
                    heir.Acknowledge();
                }
                else
                {
                    _chunks.Last().Inherit(heir);
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
        // The first batch is empty: a host that does not answer is not sent all groups each time, and what follows is refused after a silence.
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
    /// Ends the snapshot when the other host has answered the first batch of the epoch. A join does not wait for a suspect host, so that its group
    /// has to come before the end of the snapshot: until then the other host sends every message.
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

    private void DropChunks(LinkChunk? heir)
    {
        foreach (LinkChunk chunk in _chunks)
        {
            if (heir is null)
            {
                chunk.Acknowledge();
            }
            else
            {
                heir.Inherit(chunk);
            }
        }

        _chunks.Clear();
        _last = null;
        _queued = 0;
        _queuedMessages = 0;
    }

    /// <summary>Moves messages that wait to the queue, in their order.</summary>
    private void Admit(ref List<WaitingMessage>? admitted)
    {
        while (_waiting.TryPeek(out WaitingMessage? next) && (next.IsCanceled || HasRoom(next.Size)))
        {
            _waiting.Dequeue();
            // A message whose sender has given up is gone already.
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

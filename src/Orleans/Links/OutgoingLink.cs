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
    /// <summary>What a link carries in a second at the least: the first answer to a long batch may take that much longer.</summary>
    private const double SlowestBytesPerSecond = 4 << 20;

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
    private long _heardAt;
    private int _refusals;
    private long _epoch;
    private long _number;
    private bool _isRunning;
    private bool _isSuspect;
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

    /// <summary>Bytes that are queued or in flight.</summary>
    public long Queued => Interlocked.Read(ref _queued);

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

            _isClosed = true;
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

    private bool HasRoom(int size) => _queued == 0 || _queued + size <= _options.LinkQueue;

    private void Add(TargetKind kind, string name, string? except, ReadOnlySpan<byte> message, int size)
    {
        Chunk().AddMessage(kind, name, except, message);
        _queued += size;
        Run();
    }

    /// <summary>Where the next entry goes.</summary>
    private LinkChunk Chunk()
    {
        if (_last is null or { IsFull: true })
        {
            _last = new LinkChunk(_time.GetTimestamp());
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
                if (batch is null)
                {
                    // This process was stopped for a while: what it had queued is too old for the others.
                    Renew(chunk, isSuspect: false);
                    continue;
                }

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
                        Renew(chunk, isSuspect: false);
                        await Task.Delay(RenewalPause(), _time, _closed.Token).ConfigureAwait(false);
                        break;
                    case LinkReply.Leaving:
                        Renew(chunk, isSuspect: true);
                        await Task.Delay(LongestRetry, _time, _closed.Token).ConfigureAwait(false);
                        break;
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

    /// <summary>Takes the next batch; false if there is none. It is null where its messages are too old to be sent.</summary>
    private bool TryTake([NotNullWhen(true)] out LinkChunk? chunk, out LinkBatch? batch)
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

            // A host that answers at its last moment makes a chunk wait for that long; the receiver checks the silence as well.
            if (chunk.Messages == 0 || _time.GetElapsedTime(chunk.Since) <= 2 * _options.LinkTimeout)
            {
                _number++;
                batch = new LinkBatch { Sender = _self, Epoch = _epoch, Number = _number, Content = chunk.ToContent() };
            }

            return true;
        }
    }

    /// <summary>Sends a batch until it is answered, or the time is over, which is <see cref="LinkReply.Unknown"/>.</summary>
    private async Task<LinkReply> DeliverAsync(LinkBatch batch)
    {
        var answer = new TaskCompletionSource<LinkReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref _heardAt, _time.GetTimestamp());
        TimeSpan pause = _options.LinkRetry + TimeSpan.FromSeconds(batch.Content.Length / SlowestBytesPerSecond);
        _metrics.Sent();
        while (true)
        {
            // Not awaited: a reset of the connection does not fail a call that is under way, and the answer of an earlier attempt counts too.
            _ = AttemptAsync(batch, answer);
            TimeSpan left = Left();
            try
            {
                return await answer.Task.WaitAsync(left < pause ? left : pause, _time, _closed.Token).ConfigureAwait(false);
            }
            catch (TimeoutException) when (Left() > TimeSpan.Zero)
            {
                _metrics.Resent();
                pause = pause < LongestRetry / 2 ? pause * 2 : LongestRetry;
            }
            catch (TimeoutException)
            {
                return LinkReply.Unknown;
            }
        }
    }

    /// <summary>The time until the other host has been silent for too long, in the whole milliseconds of timers.</summary>
    private TimeSpan Left()
    {
        TimeSpan left = _options.LinkTimeout - _time.GetElapsedTime(Volatile.Read(ref _heardAt));
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
            else if (reply != LinkReply.Unknown)
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
            isBack = _isSuspect;
            _refusals = 0;
            Volatile.Write(ref _isSuspect, false);
            _queued -= chunk.Length;
            Admit(ref admitted);
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

                lost += _chunks.Sum(queued => queued.Messages) + _waiting.Count;
                completed = [.. _waiting];
                _waiting.Clear();
                isNew = isSuspect && !_isSuspect;
                Volatile.Write(ref _isSuspect, _isSuspect || isSuspect);
                // Who waits for a host that answers waits until it knows all groups again; nobody waits for a suspect one.
                var heir = new LinkChunk(_time.GetTimestamp());
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

        Chunk().AddInterestComplete();
        _queued = _chunks.Sum(chunk => (long)chunk.Length);
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

using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using System.Text;
using ByteStreams.Admission;
using ByteStreams.Cluster.Links;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Cluster.Tests.Links;

/// <summary>The behaviour of the network for a batch.</summary>
internal enum BatchFate
{
    /// <summary>The batch and its reply are delivered.</summary>
    Delivered,

    /// <summary>The batch is delivered on another thread.</summary>
    DeliveredAsync,

    /// <summary>The batch is dropped, and the call never completes.</summary>
    Dropped,

    /// <summary>The batch is delivered, and its reply is dropped.</summary>
    ReplyDropped,

    /// <summary>The call fails immediately, and the batch is dropped.</summary>
    Failed,

    /// <summary>The batch is rejected, as by a host of another version.</summary>
    Rejected,

    /// <summary>The batch is delivered when <see cref="LinkedHosts.Release"/> is called.</summary>
    Held,
}

/// <summary>Hosts of a cluster in one process, with a fake network and a fake clock.</summary>
internal sealed class LinkedHosts : IDisposable
{
    private readonly List<LinkedHost> _hosts = [];
    private readonly List<(LinkedHost Host, LinkBatch Batch, TaskCompletionSource<LinkReply> Answer)> _held = [];

    private int _unanswered;

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    /// <summary>Returns the fate of each batch. Called under a lock.</summary>
    public Func<SiloAddress, SiloAddress, LinkBatch, BatchFate> Fates { get; set; } = (_, _, _) => BatchFate.Delivered;

    public List<LinkBatch> Batches { get; } = [];

    public long LastEpoch
    {
        get
        {
            lock (Batches)
            {
                return Batches.Max(batch => batch.Epoch);
            }
        }
    }

    public Action<ByteStreamClusterOptions> Configure { get; set; } = _ => { };

    public LinkedHost Add()
    {
        int number = _hosts.Count + 1;
        var address = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11110 + number), 1000 + number);
        var host = new LinkedHost(this, address);
        _hosts.Add(host);
        return host;
    }

    /// <summary>Starts hosts as members of one cluster, and returns when they are ready.</summary>
    public async Task<LinkedHost[]> StartAsync(int hosts)
    {
        LinkedHost[] started = [.. Enumerable.Range(0, hosts).Select(_ => Add())];
        Meet(started);
        // A batch may arrive before its receiver knows the sender; it is resent later.
        await AdvanceUntilAsync(() => started.All(host => host.Backplane.WhenReady.IsCompleted));
        return started;
    }

    /// <summary>Sets the membership of the cluster on each of its members.</summary>
    public void Meet(params LinkedHost[] members)
    {
        var addresses = new HashSet<SiloAddress>(members.Select(member => member.Address));
        var dead = new HashSet<SiloAddress>(_hosts.Select(host => host.Address).Where(address => !addresses.Contains(address)));
        foreach (LinkedHost member in members)
        {
            member.Backplane.Update(addresses, dead.Contains);
        }
    }

    /// <summary>Delivers the held batches.</summary>
    public void Release()
    {
        (LinkedHost Host, LinkBatch Batch, TaskCompletionSource<LinkReply> Answer)[] held;
        lock (_held)
        {
            held = [.. _held];
            _held.Clear();
        }

        foreach ((LinkedHost host, LinkBatch batch, TaskCompletionSource<LinkReply> answer) in held)
        {
            answer.SetResult(host.Backplane.Receive(batch));
        }
    }

    /// <summary>Rejects the held batches, as their receiver does after a pause.</summary>
    public void RefuseHeld()
    {
        lock (_held)
        {
            _held.ForEach(held => held.Answer.SetResult(LinkReply.Renew));
            _held.Clear();
        }
    }

    public int Held
    {
        get
        {
            lock (_held)
            {
                return _held.Count;
            }
        }
    }

    public Task<LinkReply> SendAsync(SiloAddress to, LinkBatch batch)
    {
        LinkedHost host = _hosts.Single(host => host.Address.Equals(to));
        BatchFate fate;
        lock (Batches)
        {
            Batches.Add(batch);
            fate = Fates(batch.Sender, to, batch);
        }

        switch (fate)
        {
            case BatchFate.Delivered:
                return Task.FromResult(host.Backplane.Receive(batch));
            case BatchFate.DeliveredAsync:
                Interlocked.Increment(ref _unanswered);
                return Task.Run(() =>
                {
                    LinkReply reply = host.Backplane.Receive(batch);
                    Interlocked.Decrement(ref _unanswered);
                    return reply;
                });
            case BatchFate.ReplyDropped:
                host.Backplane.Receive(batch);
                break;
            case BatchFate.Failed:
                throw new IOException("The connection to the silo is closed.");
            case BatchFate.Rejected:
                return Task.FromResult(LinkReply.Renew);
            case BatchFate.Held:
                var answer = new TaskCompletionSource<LinkReply>(TaskCreationOptions.RunContinuationsAsynchronously);
                lock (_held)
                {
                    _held.Add((host, batch, answer));
                }

                return answer.Task;
        }

        return new TaskCompletionSource<LinkReply>().Task;
    }

    /// <summary>Answers the presence queries of a host in place of that host; null without an override.</summary>
    public Func<SiloAddress, Task<IReadOnlyList<PresentConnection>>>? Answers { get; set; }

    public Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress to, PresenceQuestion question) =>
        Answers?.Invoke(to) ?? Task.FromResult(_hosts.Single(host => host.Address.Equals(to)).Backplane.Answer(question));

    /// <summary>Advances the clock in steps of 50 ms until a condition holds.</summary>
    public async Task AdvanceUntilAsync(Func<bool> condition)
    {
        await Patience.UntilAsync(() =>
        {
            if (condition())
            {
                return true;
            }

            Time.Advance(TimeSpan.FromMilliseconds(50));
            return false;
        });
    }

    /// <summary>
    /// Advances the clock while a receiver is busy. Each retry of the sender is answered before the next step, so that the clock does not run ahead
    /// of the threads.
    /// </summary>
    public async Task AdvanceWhileBusyAsync(LinkedHost sender, TimeSpan time)
    {
        for (DateTimeOffset end = Time.GetUtcNow() + time; Time.GetUtcNow() < end;)
        {
            long resent = sender.Metrics.ResentBatches;
            await AdvanceUntilAsync(() => sender.Metrics.ResentBatches > resent);
            // The batch that keeps the receiver busy is the only one without an answer.
            await Patience.UntilAsync(() => Volatile.Read(ref _unanswered), unanswered => unanswered == 1);
        }
    }

    public void Dispose()
    {
        foreach (LinkedHost host in _hosts)
        {
            host.Dispose();
        }
    }
}

/// <summary>A host, with its connections and its links to the other hosts.</summary>
internal sealed class LinkedHost : ILinkTransport, IDisposable
{
    private readonly LinkedHosts _hosts;
    private int _unknown;

    public LinkedHost(LinkedHosts hosts, SiloAddress address)
    {
        _hosts = hosts;
        Address = address;
        var options = new ByteStreamClusterOptions { TimeProvider = hosts.Time };
        hosts.Configure(options);
        Metrics = new ClusterMetrics(factory: null);
        Backplane = new ClusterBackplane(address, options, this, Metrics, Total, Log) { WhenEvicted = Evictions.Enqueue, WhenUnknown = () => Interlocked.Increment(ref _unknown) };
        Connections = new ByteStreamConnections(new ByteStreamConnectionsOptions { TimeProvider = hosts.Time }, logger: null, Backplane);
    }

    public SiloAddress Address { get; }

    public FakeLogger Log { get; } = new();

    public ClusterMetrics Metrics { get; }

    public ConnectionTotal Total { get; } = new(1000);

    public ClusterBackplane Backplane { get; }

    public ByteStreamConnections Connections { get; }

    public ConcurrentQueue<string> Evictions { get; } = [];

    public int Unknown => Volatile.Read(ref _unknown);

    /// <summary>Registers a connection and joins groups.</summary>
    public async Task<LinkedMember> ConnectAsync(string? user = null, params string[] groups)
    {
        LinkedMember member = Connect(user);
        foreach (string group in groups)
        {
            await member.Member.JoinAsync(group, TestContext.Current.CancellationToken).AsTask().WaitAsync(Patience.Limit);
        }

        return member;
    }

    public LinkedMember Connect(string? user = null, bool isExclusive = false)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0));
        var writer = new ByteStreamWriter(pipe.Writer);
        return new LinkedMember(pipe.Reader, isExclusive ? Connections.RegisterExclusive(writer, user!) : Connections.Register(writer, user));
    }

    public Task<LinkReply> SendAsync(SiloAddress host, LinkBatch batch) => _hosts.SendAsync(host, batch);

    public Task<IReadOnlyList<PresentConnection>> AskAsync(SiloAddress host, PresenceQuestion question) => _hosts.AskAsync(host, question);

    public void Dispose()
    {
        Backplane.Dispose();
        Metrics.Dispose();
    }
}

/// <summary>A connection of a host, with its received bytes.</summary>
internal sealed class LinkedMember(PipeReader reader, ByteStreamMember member)
{
    private readonly StringBuilder _received = new();

    public ByteStreamMember Member => member;

    /// <summary>The text received so far.</summary>
    public string Received
    {
        get
        {
            while (reader.TryRead(out ReadResult result) && !result.Buffer.IsEmpty)
            {
                _received.Append(Encoding.ASCII.GetString(result.Buffer));
                reader.AdvanceTo(result.Buffer.End);
            }

            return _received.ToString();
        }
    }

    /// <summary>Waits for the expected text, and asserts that nothing else was received.</summary>
    public async Task AssertReceivesAsync(string expected)
    {
        await Patience.UntilAsync(() => Received, now => now.Length >= expected.Length);
        Assert.Equal(expected, Received);
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>
/// A load of groups with one sender and two receivers, one on the sender's host and one on another host. Senders send numbered messages of 100 bytes
/// at a constant rate. A participant whose connection closes reconnects to another host and joins again; the sender and one receiver stay together,
/// and the other receiver stays apart from them, so that half of the deliveries cross hosts.
/// </summary>
internal sealed class Traffic : IAsyncDisposable
{
    private const int MessageLength = 100;

    private readonly Cluster _cluster;
    private readonly double _perSecond;
    private readonly CancellationTokenSource _sendingStopped = new();
    private readonly CancellationTokenSource _stopped = new();
    private readonly TaskCompletionSource _begin = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private readonly List<Session> _sessions = [];
    private readonly Dictionary<HostProcess, int> _connected = [];
    private readonly List<Task> _participants = [];

    private Traffic(Cluster cluster, double perSecond) => (_cluster, _perSecond) = (cluster, perSecond);

    /// <summary>Starts the participants. Returns after all of them have joined, when sending starts.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="groups">The number of groups.</param>
    /// <param name="perSecond">The total number of messages per second of all senders.</param>
    public static async Task<Traffic> StartAsync(Cluster cluster, int groups, int perSecond)
    {
        var traffic = new Traffic(cluster, (double)perSecond / groups);
        int hosts = cluster.Hosts.Length;
        for (int i = 0; i < groups; i++)
        {
            string group = string.Create(CultureInfo.InvariantCulture, $"group-{i}");
            var together = new Seat(cluster.Hosts[i % hosts]);
            var apart = new Seat(cluster.Hosts[(i + 1 + (i / hosts % (hosts - 1))) % hosts]);
            traffic.Add(group, together, apart, isSender: true);
            traffic.Add(group, together, apart, isSender: false);
            traffic.Add(group, apart, together, isSender: false);
        }

        await Patience.UntilAsync(() => traffic.Joined, joined => joined == 3 * groups);
        traffic._begin.SetResult();
        return traffic;
    }

    private int Joined => Sessions().Count(session => session.JoinedAt != long.MaxValue);

    /// <summary>Waits until every participant has rejoined on a living host.</summary>
    public Task ReconnectedAsync() =>
        Patience.UntilAsync(() => Sessions().Count(session => session.Host.IsAlive && session.IsOpen), joined => joined >= _participants.Count);

    /// <summary>Stops the senders, and waits up to 5 s, multiplied by the load, for missing messages.</summary>
    /// <param name="isCounted">Selects the sessions to count; null for all.</param>
    /// <returns>The final figures.</returns>
    public async Task<Figures> EndAsync(Func<Session, bool>? isCounted = null)
    {
        await _sendingStopped.CancelAsync();
        long begun = Stopwatch.GetTimestamp();
        Figures figures = Count(isCounted);
        while (figures.Lost > 0 && Stopwatch.GetElapsedTime(begun) < Patience.OnThisMachine(TimeSpan.FromSeconds(5)))
        {
            await Task.Delay(200);
            figures = Count(isCounted);
        }

        return figures;
    }

    /// <summary>Counts the deliveries between sessions.</summary>
    /// <param name="isCounted">Selects the sessions to count; null for all.</param>
    /// <param name="since">Counts only messages sent after this timestamp.</param>
    public Figures Count(Func<Session, bool>? isCounted = null, long since = 0)
    {
        long deliveries = 0, across = 0, lost = 0, duplicated = 0, reordered = 0, longest = 0;
        foreach (IGrouping<string, Session> group in Sessions().Where(isCounted ?? (_ => true)).GroupBy(session => session.Group))
        {
            foreach (Session sender in group)
            {
                long[] sent = sender.Sent();
                foreach (Session receiver in group.Where(receiver => receiver != sender))
                {
                    var received = receiver.ReceivedFrom(sender);
                    var seen = new HashSet<int>();
                    int last = -1;
                    foreach ((int number, long sentAt, long receivedAt) in received)
                    {
                        if (!seen.Add(number))
                        {
                            duplicated++;
                        }
                        else if (number < last)
                        {
                            reordered++;
                        }

                        last = Math.Max(last, number);
                        if (sentAt >= since)
                        {
                            deliveries++;
                            across += sender.Host == receiver.Host ? 0 : 1;
                            longest = Math.Max(longest, receivedAt - sentAt);
                        }
                    }

                    int end = sender.Host.IsAlive && receiver.Host.IsAlive ? sent.Length : last + 1;
                    for (int number = 0; number < end; number++)
                    {
                        if (sent[number] > Math.Max(receiver.JoinedAt, since) && !seen.Contains(number))
                        {
                            lost++;
                        }
                    }
                }
            }
        }

        return new Figures(deliveries, across, lost, duplicated, reordered, Stopwatch.GetElapsedTime(0, longest));
    }

    /// <summary>Returns the deliveries from matching senders to receivers on living hosts.</summary>
    public IReadOnlyList<(long SentAt, long ReceivedAt)> DeliveriesOf(Func<Session, bool> isSender)
    {
        IReadOnlyList<Session> sessions = Sessions();
        return
        [
            .. sessions.Where(isSender)
                .SelectMany(sender => sessions.Where(receiver => receiver.Host.IsAlive).SelectMany(receiver => receiver.ReceivedFrom(sender)))
                .Select(message => (message.SentAt, message.ReceivedAt)),
        ];
    }

    public async ValueTask DisposeAsync()
    {
        await _sendingStopped.CancelAsync();
        await _stopped.CancelAsync();
        _begin.TrySetResult();
        await Task.WhenAll(_participants);
        _sendingStopped.Dispose();
        _stopped.Dispose();
    }

    private List<Session> Sessions()
    {
        lock (_gate)
        {
            return [.. _sessions];
        }
    }

    private void Add(string group, Seat seat, Seat other, bool isSender) => _participants.Add(Task.Run(() => RunAsync(group, seat, other, isSender)));

    private async Task RunAsync(string group, Seat seat, Seat other, bool isSender)
    {
        while (!_stopped.IsCancellationRequested)
        {
            HostProcess host = seat.Host;
            try
            {
                await RunOnceAsync(group, host, isSender);
            }
            catch (IOException)
            {
                // The host is stopping, or its exit has not been detected yet.
                await Task.Delay(50);
            }
            finally
            {
                lock (_gate)
                {
                    _connected[host]--;
                }
            }

            Leave(host, seat, other);
        }
    }

    /// <summary>Moves the participants of a seat to the living host with the fewest connections that is not the host of the other seat.</summary>
    private void Leave(HostProcess host, Seat seat, Seat other)
    {
        lock (_gate)
        {
            if (seat.Host == host)
            {
                IEnumerable<HostProcess> left = _cluster.Living.Where(candidate => candidate != host);
                seat.Host = left.Where(candidate => candidate != other.Host).MinBy(Connected) ?? left.MinBy(Connected) ?? host;
            }
        }

        int Connected(HostProcess candidate) => _connected.GetValueOrDefault(candidate);
    }

    /// <summary>Runs one connection until it closes.</summary>
    private async Task RunOnceAsync(string group, HostProcess host, bool isSender)
    {
        Session session;
        lock (_gate)
        {
            _connected[host] = _connected.GetValueOrDefault(host) + 1;
            session = new Session(_sessions.Count, group, host);
            _sessions.Add(session);
        }

        await using Client client = await Client.ConnectAsync(host, "register", session.Add);
        await client.JoinAsync(group);
        session.JoinedAt = Stopwatch.GetTimestamp();
        session.IsOpen = true;
        try
        {
            await _begin.Task;
            if (isSender)
            {
                await SendAsync(client, session);
            }

            await client.Ended.WaitAsync(_stopped.Token).ContinueWith(_ => { }, TaskScheduler.Default);
        }
        finally
        {
            session.IsOpen = false;
        }
    }

    private async Task SendAsync(Client client, Session session)
    {
        long begun = Stopwatch.GetTimestamp();
        byte[] head = Encoding.ASCII.GetBytes($"except {client.Id} group:{session.Group} ");
        using var lines = new MemoryStream();
        for (long sent = 0; !_sendingStopped.IsCancellationRequested && !client.Ended.IsCompleted;)
        {
            long due = (long)(Stopwatch.GetElapsedTime(begun).TotalSeconds * _perSecond);
            lines.SetLength(0);
            for (; sent < due; sent++)
            {
                long now = Stopwatch.GetTimestamp();
                int number = session.NextNumber(now);
                lines.Write(head);
                lines.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"m {session.Number} {number} {now} ").PadRight(MessageLength - 1, '.')));
                lines.WriteByte((byte)'\n');
            }

            if (lines.Length > 0)
            {
                await client.SendAsync(lines.ToArray());
            }

            await Task.Delay(5);
        }
    }

    /// <summary>The host of the participants of a group that stay together.</summary>
    private sealed class Seat(HostProcess host)
    {
        public HostProcess Host { get; set; } = host;
    }
}

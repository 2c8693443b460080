using System.Collections.Concurrent;

namespace ByteStreams.Transport.Epoll;

/// <summary>The loops that share connections: for each number of loops that somebody asks for there is one group in the process.</summary>
internal sealed class EventLoopGroup
{
    private static readonly ConcurrentDictionary<int, EventLoopGroup> Groups = new();
    private static readonly Lock Making = new();

    // Of a group for which descriptors or threads did not suffice. A loop has no end: the next group takes them.
    private static readonly Stack<EventLoop> Unused = [];

    private readonly EventLoop[] _loops;
    private uint _turn;

    private EventLoopGroup(EventLoop[] loops) => _loops = loops;

    public IReadOnlyList<EventLoop> Loops => _loops;

    /// <summary>The group of so many loops; null stands for as many as there are processors.</summary>
    /// <exception cref="System.Net.Sockets.SocketException">The process has no descriptor left for another loop. The next call tries again.</exception>
    public static EventLoopGroup Of(int? count) =>
        Groups.TryGetValue(count ?? Environment.ProcessorCount, out EventLoopGroup? known) ? known : Make(count ?? Environment.ProcessorCount);

    /// <summary>Every loop of the process.</summary>
    public static IEnumerable<EventLoop> All => Groups.Values.SelectMany(group => group._loops);

    private static EventLoopGroup Make(int count)
    {
        lock (Making)
        {
            if (Groups.TryGetValue(count, out EventLoopGroup? known))
            {
                return known;
            }

            while (Unused.Count < count)
            {
                var loop = new EventLoop();
                LoopWatchdog.Add(loop);
                Unused.Push(loop);
            }

            return Groups[count] = new EventLoopGroup([.. Enumerable.Range(0, count).Select(_ => Unused.Pop())]);
        }
    }

    /// <summary>The loop with the fewest connections; among equals they take turns.</summary>
    public EventLoop Next()
    {
        uint first = Interlocked.Increment(ref _turn);
        EventLoop best = _loops[first % (uint)_loops.Length];
        for (uint i = 1; i < _loops.Length; i++)
        {
            EventLoop other = _loops[(first + i) % (uint)_loops.Length];
            if (other.Connections < best.Connections)
            {
                best = other;
            }
        }

        return best;
    }
}

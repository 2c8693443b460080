using System.Collections.Concurrent;

namespace ByteStreams.Transport.Epoll;

/// <summary>The event loops that share connections. The process has one group for each number of loops that is in use.</summary>
internal sealed class EventLoopGroup
{
    private static readonly ConcurrentDictionary<int, EventLoopGroup> Groups = new();
    private static readonly Lock Making = new();

    // Loops of a group that could not be completed for lack of descriptors or threads. A loop is never disposed: the next group uses them.
    private static readonly Stack<EventLoop> Unused = [];

    private readonly EventLoop[] _loops;
    private uint _dispatch;

    private EventLoopGroup(EventLoop[] loops) => _loops = loops;

    public IReadOnlyList<EventLoop> Loops => _loops;

    /// <summary>The group of <paramref name="count"/> loops; null for one per processor.</summary>
    /// <exception cref="System.Net.Sockets.SocketException">The process has no free descriptor for another loop. The next call tries again.</exception>
    public static EventLoopGroup Get(int? count) =>
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
                var loop = new EventLoop(LoopThread.Run);
                LoopWatchdog.Add(loop);
                Unused.Push(loop);
            }

            return Groups[count] = new EventLoopGroup([.. Enumerable.Range(0, count).Select(_ => Unused.Pop())]);
        }
    }

    /// <summary>The loop with the fewest connections; equal ones in rotation.</summary>
    public EventLoop Next()
    {
        uint first = Interlocked.Increment(ref _dispatch);
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

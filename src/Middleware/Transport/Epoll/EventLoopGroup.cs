using System.Collections.Concurrent;

namespace ByteStreams.Transport;

/// <summary>The loops that share connections: for each number of loops that somebody asks for there is one group in the process.</summary>
internal sealed class EventLoopGroup
{
    private static readonly ConcurrentDictionary<int, Lazy<EventLoopGroup>> Groups = new();

    private readonly EventLoop[] _loops;
    private uint _turn;

    private EventLoopGroup(int count)
    {
        _loops = new EventLoop[count];
        for (int i = 0; i < count; i++)
        {
            _loops[i] = new EventLoop();
            LoopWatchdog.Add(_loops[i]);
        }
    }

    public IReadOnlyList<EventLoop> Loops => _loops;

    /// <summary>The group of so many loops; null stands for as many as there are processors.</summary>
    public static EventLoopGroup Of(int? count) =>
        Groups.GetOrAdd(count ?? Environment.ProcessorCount, static count => new Lazy<EventLoopGroup>(() => new EventLoopGroup(count))).Value;

    /// <summary>Every loop of the process.</summary>
    public static IEnumerable<EventLoop> All => Groups.Values.SelectMany(group => group.Value._loops);

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

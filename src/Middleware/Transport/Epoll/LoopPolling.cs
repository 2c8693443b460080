using System.Diagnostics;

namespace ByteStreams.Transport;

/// <summary>
/// How a loop waits for its next events: asleep, or, where that pays, by looking again and again for a moment before it sleeps.
/// Waking a sleeping core takes about 50 µs; a client that waits for each answer waits for that too, each time.
/// </summary>
/// <remarks>
/// It pays while the loop does little but wait, never for long, so that a look would have found the event: then every message is
/// answered sooner, at the price of a core that would otherwise be idle. It ends with the first look in vain, and as soon as
/// somebody else wants the core, which is noticed by offering it to them.
/// </remarks>
internal sealed unsafe class LoopPolling
{
    /// <summary>The longest look: a few times what waking both sides takes, so that one late answer does not end it.</summary>
    private static readonly long Longest = Stopwatch.Frequency / 4000;

    /// <summary>An offered core that comes back later than this was used by somebody.</summary>
    private static readonly long Offered = Stopwatch.Frequency / 200_000;

    /// <summary>So many short waits in a row begin it.</summary>
    private const int Enough = 16;

    /// <summary>So many waits are slept through when somebody else has wanted the core, until it is tried again.</summary>
    private const int Abstinence = 4096;

    private int _short;
    private long _returned;

    public int Wait(int epoll, byte* events, int most)
    {
        long begun = Stopwatch.GetTimestamp();
        long busy = begun - _returned;
        int count = 0;
        if (_short >= Enough)
        {
            count = Poll(epoll, events, most, begun);
        }

        if (count == 0)
        {
            count = LibC.Wait(epoll, events, most, milliseconds: -1);
        }

        _returned = Stopwatch.GetTimestamp();
        long waited = _returned - begun;

        // Where the loop works longer than it waits, it is throughput that counts, and the core has better things to do.
        if (waited > Longest || waited < busy)
        {
            _short = Math.Min(_short, 0);
        }
        else
        {
            _short = Math.Min(_short + 1, Enough);
        }

        return count;
    }

    private int Poll(int epoll, byte* events, int most, long begun)
    {
        long now = begun;
        while (now - begun < Longest)
        {
            int count = LibC.Wait(epoll, events, most, milliseconds: 0);
            if (count > 0)
            {
                return count;
            }

            long offered = Stopwatch.GetTimestamp();
            _ = LibC.Yield();
            now = Stopwatch.GetTimestamp();
            if (now - offered > Offered)
            {
                _short = -Abstinence;
                return 0;
            }
        }

        return 0;
    }
}

using System.Diagnostics;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// How a loop waits for its next events: asleep, or, where that pays, by looking again and again for a moment before it sleeps.
/// Waking a sleeping core takes about 50 µs; a client that waits for each answer waits for that too, each time.
/// </summary>
/// <remarks>
/// It pays while the loop does little but wait, never for long, so that a look would have found the event: then every message is
/// answered sooner, at the price of a core that would otherwise be idle. It ends with the first look in vain, and where somebody
/// else wants the core, which is noticed by offering it to them between two looks.
/// </remarks>
internal sealed unsafe class LoopPolling
{
    /// <summary>The longest look: a few times what waking both sides takes, so that one late answer does not end it.</summary>
    private static readonly long Longest = Stopwatch.Frequency / 4000;

    /// <summary>An offered core that comes back later than this was used by somebody.</summary>
    private static readonly long Offered = Stopwatch.Frequency / 200_000;

    /// <summary>So many more short waits than others begin it.</summary>
    private const int Enough = 16;

    /// <summary>A wait that was not short counts as so many: two or three in a row end it.</summary>
    private const int Penalty = 8;

    /// <summary>So many offers of the core are judged together.</summary>
    private const int Offers = 64;

    /// <summary>
    /// One offer in so many may be taken: the ticks of a kernel and of a watchdog take fewer, a client or a loop on the same core
    /// takes every other. And one part in so many of the time must be waiting, else there is nothing to gain.
    /// </summary>
    private const int Share = 8;

    /// <summary>So much polling is judged together: whoever computes takes few offers, but then for milliseconds.</summary>
    private static readonly long Period = Stopwatch.Frequency / 50;

    /// <summary>So many waits are slept through when somebody else has wanted the core, until it is tried again.</summary>
    private const int Abstinence = 4096;

    private int _short;
    private long _returned;
    private int _offers;
    private int _taken;
    private long _polled;
    private long _used;

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

        // Where the loop works far longer than it waits, it is throughput that counts, and there is no time to gain.
        bool pays = waited <= Longest && waited >= busy / Share;
        _short = pays ? Math.Min(_short + 1, 2 * Enough) : Math.Min(_short, Math.Max(_short - Penalty, 0));

        return count;
    }

    private int Poll(int epoll, byte* events, int most, long begun)
    {
        int count = 0;
        long now = begun;
        while (now - begun < Longest && _short >= Enough)
        {
            count = LibC.Wait(epoll, events, most, milliseconds: 0);
            if (count > 0)
            {
                break;
            }

            long offered = Stopwatch.GetTimestamp();
            _polled += offered - now;
            _ = LibC.Yield();
            now = Stopwatch.GetTimestamp();
            Judge(now - offered);
        }

        return count;
    }

    /// <summary>Gives polling up for a while where others use the core: often, or for long.</summary>
    private void Judge(long away)
    {
        _offers++;
        if (away > Offered)
        {
            _taken++;
            _used += away;
        }

        if (_offers == Offers)
        {
            if (_taken > Offers / Share)
            {
                _short = -Abstinence;
            }

            _offers = 0;
            _taken = 0;
        }

        if (_polled + _used >= Period)
        {
            if (_used > _polled)
            {
                _short = -Abstinence;
            }

            _polled = 0;
            _used = 0;
        }
    }
}

using System.Diagnostics;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// The wait of a loop for its next events: blocked in epoll_wait, or first polling for a moment if that pays. Waking a sleeping core takes about
/// 50 µs, which a request-response client waits for each time.
/// </summary>
/// <remarks>
/// Polling pays while the loop mostly waits, and only for short times: then every message is answered sooner, at the price of a core that would
/// otherwise be idle. It stops when polls find no event, and when another thread wants the core, which sched_yield between two polls detects.
/// </remarks>
internal sealed unsafe class LoopPolling
{
    /// <summary>The longest poll: a few times the wake-up time of both sides, so that one late answer does not stop the polling.</summary>
    private static readonly long Longest = Stopwatch.Frequency / 4000;

    /// <summary>A sched_yield that takes longer than this has run another thread.</summary>
    private static readonly long Offered = Stopwatch.Frequency / 200_000;

    /// <summary>The surplus of short waits over others at which polling begins.</summary>
    private const int Enough = 16;

    /// <summary>The weight of a wait that was not short: two or three in a row stop the polling.</summary>
    private const int Penalty = 8;

    /// <summary>The sched_yield calls that are evaluated together.</summary>
    private const int Offers = 64;

    /// <summary>
    /// The fraction of sched_yield calls that may run another thread: the ticks of the kernel and the watchdog use fewer, a client or a loop on
    /// the same core every second one. Also the least fraction of the time that the loop must wait.
    /// </summary>
    private const int Share = 8;

    /// <summary>The time of polling that is evaluated together. A CPU-bound neighbour accepts few sched_yield offers but holds the core for milliseconds.</summary>
    private static readonly long Period = Stopwatch.Frequency / 50;

    /// <summary>The waits without polling after another thread has wanted the core.</summary>
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

        // A loop that works far longer than it waits has no latency to gain.
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

    /// <summary>Suspends polling if other threads use the core often or for long.</summary>
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

using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>What epoll has reported for a connected socket, and what waits for it. An edge sets a flag; a call clears it before it looks.</summary>
[Flags]
internal enum Readiness
{
    None = 0,

    /// <summary>A receive is likely to find something.</summary>
    Readable = 1 << 0,

    /// <summary>A send is likely to be accepted.</summary>
    Writable = 1 << 1,

    /// <summary>The peer has shut down or is gone: no further edge reports the end after a short receive.</summary>
    HungUp = 1 << 2,

    /// <summary>The connection has failed: a pending error, a reset or a timeout of the system.</summary>
    Failed = 1 << 3,

    /// <summary>A receive waits for <see cref="Readable"/>.</summary>
    ReceiveWaits = 1 << 4,

    /// <summary>A send waits for <see cref="Writable"/>.</summary>
    SendWaits = 1 << 5,

    /// <summary>The start of the handler waits for the first event.</summary>
    StartWaits = 1 << 6,

    /// <summary>A failure is reported although no receive waits.</summary>
    ReportsFailure = 1 << 7,

    /// <summary>The descriptor is closed, or about to be.</summary>
    Closed = 1 << 8,

    /// <summary>Both directions have ended: without a shutdown from this side, by a reset.</summary>
    Over = 1 << 9,

    AllWaits = ReceiveWaits | SendWaits | StartWaits,
}

/// <summary>What epoll's events mean for a connected socket.</summary>
internal static class EpollReadiness
{
    private const EpollEvents Gone = EpollEvents.HangUp | EpollEvents.Error;

    /// <summary>The flags that events set, and those of what no longer waits because of them.</summary>
    public static (Readiness Set, Readiness Wakes) From(EpollEvents events)
    {
        Readiness set = Readiness.None;
        Readiness wakes = Readiness.StartWaits;
        if ((events & (EpollEvents.In | EpollEvents.PeerHangUp | Gone)) != 0)
        {
            set = (events & (EpollEvents.PeerHangUp | Gone)) == 0 ? Readiness.Readable : Readiness.Readable | Readiness.HungUp;
            wakes |= Readiness.ReceiveWaits;
        }

        if ((events & Gone) != 0)
        {
            set |= (events & EpollEvents.Error) != 0 ? Readiness.Over | Readiness.Failed : Readiness.Over;
        }

        if ((events & (EpollEvents.Out | Gone)) != 0)
        {
            set |= Readiness.Writable;
            wakes |= Readiness.SendWaits;
        }

        return (set, wakes);
    }
}

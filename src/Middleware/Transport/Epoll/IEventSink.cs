using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>Whoever has registered a descriptor with an <see cref="EventLoop"/>.</summary>
internal interface IEventSink
{
    /// <summary>
    /// Tells what has changed, on the loop's thread. An event is a hint: it may be late, doubled, or meant for the descriptor's
    /// last owner, and only the system call that follows tells the truth.
    /// </summary>
    void OnEvents(EpollEvents events);

    /// <summary>The last <see cref="OnEvents"/> has kept the thread so long that another has taken over the loop.</summary>
    void OnBlocked()
    {
    }
}

using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>Receives the events of a descriptor that is registered with an <see cref="EventLoop"/>.</summary>
internal interface IEventSink
{
    /// <summary>
    /// Called with new events, on the loop's thread. An event is a hint: it may be late, repeated, or meant for the descriptor's previous
    /// owner. The system call that follows returns the actual state.
    /// </summary>
    void OnEvents(EpollEvents events);

    /// <summary>The last <see cref="OnEvents"/> has occupied the thread for so long that another one has taken over the loop.</summary>
    void OnBlocked()
    {
    }
}

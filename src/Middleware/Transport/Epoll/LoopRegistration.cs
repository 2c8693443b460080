using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>
/// The registration of one socket with its loop: edge-triggered, added once, for input from the beginning and for output when a send first
/// waits. Its lock keeps the descriptor open during a change, and is taken within the lock of the exposed socket only.
/// </summary>
internal struct LoopRegistration(EventLoop loop, Descriptor descriptor)
{
    private const EpollEvents Input = EpollEvents.In | EpollEvents.PeerHangUp;

    private ulong _key;
    private ThinLock _gate;
    private bool _isAdded;
    private bool _watchesOutput;
    private bool _isRemoved;

    public readonly EventLoop Loop => loop;

    public readonly Descriptor Descriptor => descriptor;

    private readonly EpollEvents Events => _watchesOutput ? Input | EpollEvents.Out : Input;

    /// <summary>Registers the socket, if it is not registered. An edge that has passed already is reported at once.</summary>
    public void Add(IEventSink sink, bool watchesOutput)
    {
        if (Volatile.Read(ref _isAdded))
        {
            return;
        }

        using (_gate.Enter())
        {
            if (!_isAdded && !_isRemoved)
            {
                _watchesOutput = watchesOutput;
                _key = loop.Add((int)descriptor.DangerousGetHandle(), Events, sink);
                Volatile.Write(ref _isAdded, true);
            }
        }
    }

    /// <summary>Registers the socket, and reports free space to send from now on; free space that is there already, at once.</summary>
    public void WatchOutput(IEventSink sink)
    {
        if (!Volatile.Read(ref _watchesOutput))
        {
            Add(sink, watchesOutput: false);
            SetOutput(true);
        }
    }

    /// <summary>Reports free space to send, or no longer.</summary>
    public void SetOutput(bool watches)
    {
        using (_gate.Enter())
        {
            Volatile.Write(ref _watchesOutput, watches);
            Change();
        }
    }

    /// <summary>Has an edge that has passed already reported again, after the events that other connections wait for.</summary>
    public void Rearm()
    {
        using (_gate.Enter())
        {
            Change();
        }
    }

    /// <summary>Removes the registration for good, before the descriptor is closed.</summary>
    /// <param name="isDuplicated">
    /// Whether another descriptor of the socket exists: the kernel removes a registration only with the last one.
    /// </param>
    public void Remove(bool isDuplicated)
    {
        using (_gate.Enter())
        {
            _isRemoved = true;
            if (!_isAdded)
            {
                return;
            }

            loop.Remove(_key);
            if (isDuplicated)
            {
                loop.Unregister((int)descriptor.DangerousGetHandle());
            }
        }
    }

    private readonly void Change()
    {
        if (!_isRemoved)
        {
            loop.Change((int)descriptor.DangerousGetHandle(), Events, _key);
        }
    }
}

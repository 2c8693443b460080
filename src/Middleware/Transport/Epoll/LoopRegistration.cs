namespace ByteStreams.Transport;

/// <summary>
/// The registration of one socket with its loop: edge-triggered, added once, for input from the beginning and for output when a send first
/// waits. Guarded by the lock of its <see cref="EpollChannel"/>.
/// </summary>
internal struct LoopRegistration(EventLoop loop, Descriptor descriptor)
{
    private const EpollEvents Input = EpollEvents.In | EpollEvents.PeerHangUp;

    private ulong _key;
    private bool _isAdded;
    private bool _watchesOutput;

    public readonly EventLoop Loop => loop;

    /// <summary>Whether the socket is registered. Can be read without the lock.</summary>
    public readonly bool IsAdded => Volatile.Read(in _isAdded);

    /// <summary>Whether free space to send is reported. Can be read without the lock.</summary>
    public readonly bool WatchesOutput => Volatile.Read(in _watchesOutput);

    /// <summary>Registers the socket, if it is not registered. An edge that has passed already is reported at once.</summary>
    public void Add(IEventSink sink, bool watchesOutput)
    {
        if (!_isAdded)
        {
            _watchesOutput = watchesOutput;
            _key = loop.Add((int)descriptor.DangerousGetHandle(), Events(), sink);
            Volatile.Write(ref _isAdded, true);
        }
    }

    /// <summary>Reports free space to send from now on, or no longer; free space that is there already is reported at once.</summary>
    public void WatchOutput(bool watches)
    {
        Volatile.Write(ref _watchesOutput, watches);
        Rearm();
    }

    /// <summary>Has an edge that has passed already reported again, after the events that other connections wait for.</summary>
    public readonly void Rearm() => loop.Change((int)descriptor.DangerousGetHandle(), Events(), _key);

    /// <summary>Removes the registration, before the descriptor is closed.</summary>
    /// <param name="isDuplicated">
    /// Whether another descriptor of the socket exists: the kernel removes a registration only with the last one.
    /// </param>
    public readonly void Remove(bool isDuplicated)
    {
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

    private readonly EpollEvents Events() => Input | (_watchesOutput ? EpollEvents.Out : EpollEvents.None);
}

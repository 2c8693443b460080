using System.Buffers;
using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Interop;
using ByteStreams.Transport.Text;
using ByteStreams.Transport.Validation;

namespace ByteStreams;

/// <summary>How this library's transports treat every connection, accepted or opened.</summary>
/// <remarks>Options are read once, when a server starts or a connection is opened.</remarks>
public class ByteStreamTransportOptions
{
    /// <summary>The reader's limit where no option sets it.</summary>
    internal const int DefaultLimit = 65536;

    private static readonly NumberRange EventLoopsRange = new(1, 1024);
    private static readonly NumberRange ReceiveBlockRange = new(4096);

    private int _writeBufferHighWater = 65536;
    private int? _writeBufferLowWater;
    private int _maxReceiveBlock = 262144;
    private int? _eventLoops;
    private int _limit = DefaultLimit;

    internal static OptionRanges<ByteStreamTransportOptions> Ranges { get; } = new(
        new NumberOption<ByteStreamTransportOptions>(nameof(Limit), NumberRange.AtLeastOne, o => o.Limit),
        new NumberOption<ByteStreamTransportOptions>(nameof(EventLoops), EventLoopsRange, o => o.EventLoops),
        new DurationOption<ByteStreamTransportOptions>(nameof(KeepAliveTime), DurationRange.AtLeastOneSecond, o => o.KeepAliveTime),
        new DurationOption<ByteStreamTransportOptions>(nameof(KeepAliveInterval), DurationRange.AtLeastOneSecond, o => o.KeepAliveInterval),
        new NumberOption<ByteStreamTransportOptions>(nameof(KeepAliveCount), new(1, 127), o => o.KeepAliveCount),
        new DurationOption<ByteStreamTransportOptions>(nameof(TcpUserTimeout), DurationRange.AtLeastOneSecond, o => o.TcpUserTimeout),
        new NumberOption<ByteStreamTransportOptions>(nameof(ReceiveBufferSize), NumberRange.AtLeastOne, o => o.ReceiveBufferSize),
        new NumberOption<ByteStreamTransportOptions>(nameof(SendBufferSize), NumberRange.AtLeastOne, o => o.SendBufferSize),
        new NumberOption<ByteStreamTransportOptions>(nameof(WriteBufferHighWater), NumberRange.AtLeastZero, o => o.WriteBufferHighWater),
        new NumberOption<ByteStreamTransportOptions>(nameof(WriteBufferLowWater), NumberRange.AtLeastZero, o => o.WriteBufferLowWater),
        new NumberOption<ByteStreamTransportOptions>(nameof(MaxReceiveBlock), ReceiveBlockRange, o => o.MaxReceiveBlock),
        new DurationOption<ByteStreamTransportOptions>(nameof(LingerTimeout), DurationRange.ZeroOrMore, o => o.LingerTimeout),
        new NumberOption<ByteStreamTransportOptions>(nameof(LingerBytes), new(0, NumberRange.MaximumBytes), o => o.LingerBytes));

    /// <summary>What drives the sockets: <see cref="ByteStreamEngine.Default"/> by default.</summary>
    public ByteStreamEngine Engine { get; set; }

    /// <summary>
    /// How many event loops of the Linux engine share the connections, 1 to 1,024: one per processor that the process may use by
    /// default (null). All servers and clients with the same number share the same loops. Fewer leave processors to other work;
    /// more gain nothing. The <see cref="ByteStreamEngine.Socket"/> engine has none.
    /// </summary>
    /// <remarks>One loop does not make handlers run one at a time: see <see cref="ByteStreamDelegate"/>.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1, or more than 1,024.</exception>
    public int? EventLoops
    {
        get => _eventLoops;
        set
        {
            EventLoopsRange.ThrowIfOutside(value);
            _eventLoops = value;
        }
    }

    /// <summary>The reader's limit: the longest line or record in bytes. 65,536 by default, at least 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Zero or less.</exception>
    public int Limit
    {
        get => _limit;
        set
        {
            NumberRange.AtLeastOne.ThrowIfOutside(value);
            _limit = value;
        }
    }

    /// <summary>
    /// Whether TCP sends small segments at once instead of collecting them (TCP_NODELAY). True by default: the writer collects
    /// already, and Nagle's algorithm against delayed acknowledgements costs up to 40 ms an exchange.
    /// </summary>
    public bool NoDelay { get; set; } = true;

    /// <summary>Whether TCP probes an idle peer (SO_KEEPALIVE). False by default, true for a relay's upstreams.</summary>
    public bool KeepAlive { get; set; }

    /// <summary>The idle time before the first probe, in whole seconds, at least 1 s. The system's own (Linux: 2 h) by default.</summary>
    public TimeSpan? KeepAliveTime { get; set; }

    /// <summary>The time between probes, in whole seconds, at least 1 s. The system's own (Linux: 75 s) by default.</summary>
    public TimeSpan? KeepAliveInterval { get; set; }

    /// <summary>The probes that may go unanswered before the connection is lost, 1 to 127. The system's own (Linux: 9) by default.</summary>
    public int? KeepAliveCount { get; set; }

    /// <summary>
    /// How long bytes may go unacknowledged, or wait because the peer has no space for them, before the system gives the connection up
    /// (TCP_USER_TIMEOUT), at least 1 s. With keep-alive it bounds the time without an answer in place of <see cref="KeepAliveCount"/>. The
    /// system's own (Linux: about 15 min, and no bound for a peer without space) by default. Linux only; ignored elsewhere.
    /// </summary>
    public TimeSpan? TcpUserTimeout { get; set; }

    /// <summary>The kernel's receive buffer in bytes (SO_RCVBUF). The system's own, growing one by default; setting it stops its growth.</summary>
    public int? ReceiveBufferSize { get; set; }

    /// <summary>The kernel's send buffer in bytes (SO_SNDBUF). The system's own, growing one by default; setting it stops its growth.</summary>
    public int? SendBufferSize { get; set; }

    /// <summary>
    /// More queued bytes than this make a drain wait: 65,536 by default, zero or more. More costs memory per slow peer and
    /// saves waits.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int WriteBufferHighWater
    {
        get => _writeBufferHighWater;
        set
        {
            NumberRange.AtLeastZero.ThrowIfOutside(value);
            _writeBufferHighWater = value;
        }
    }

    /// <summary>
    /// A drain that waits goes on when no more than these bytes are queued: a quarter of <see cref="WriteBufferHighWater"/> by
    /// default, 0 to <see cref="WriteBufferHighWater"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public int WriteBufferLowWater
    {
        get => _writeBufferLowWater ?? _writeBufferHighWater / 4;
        set
        {
            NumberRange.AtLeastZero.ThrowIfOutside(value);
            _writeBufferLowWater = value;
        }
    }

    /// <summary>
    /// The largest block that one receive fills, in bytes: 262,144 by default, at least 4,096. Blocks begin at 4 KiB and grow
    /// only for connections that fill them. Where the reader's limit is lower, that is the bound, so that no more than about
    /// twice the limit is buffered.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 4,096.</exception>
    public int MaxReceiveBlock
    {
        get => _maxReceiveBlock;
        set
        {
            ReceiveBlockRange.ThrowIfOutside(value);
            _maxReceiveBlock = value;
        }
    }

    /// <summary>
    /// How long a closed connection waits for a peer that is still sending, so that no reset destroys the reply: 2 s by default,
    /// zero closes at once. It begins anew as long as the peer acknowledges bytes of the reply, 30 times at most. No caller waits for it
    /// but <see cref="ByteStreamWriter.WaitClosedAsync"/>.
    /// </summary>
    public TimeSpan LingerTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How many bytes of such a peer are received and thrown away at once when it has acknowledged the whole reply, and again in
    /// each twentieth of <see cref="LingerTimeout"/>: 1 MiB by default (so at most 21 MiB in 2 s), zero or more. In between the
    /// peer is paused by TCP. While it has not acknowledged the reply, only the time bounds it.
    /// </summary>
    public long LingerBytes { get; set; } = 1 << 20;

    /// <summary>The clock of every timeout. <see cref="TimeProvider.System"/> by default.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>Whether the connections are Kestrel's own, see <see cref="ChannelConnection.FollowsKestrel"/>.</summary>
    internal bool FollowsKestrel { get; set; }

    /// <summary>What the layers above the connection take their blocks from.</summary>
    internal MemoryPool<byte> MemoryPool { get; set; } = MemoryPool<byte>.Shared;

    /// <summary>The limit that sockets stop short of: the process's, but for tests.</summary>
    internal DescriptorLimit Descriptors { get; set; } = DescriptorLimit.Process;

    /// <summary>The engine in effect: the option, else the environment's, else the system's best.</summary>
    internal ByteStreamEngine ResolvedEngine => Engine != ByteStreamEngine.Default ? Engine : TransportEngine.Default;

    /// <summary>The largest block in effect: never so large that a receive brings much more than the reader's limit (R19).</summary>
    internal int ReceiveBlock => Math.Min(MaxReceiveBlock, Math.Max((int)ReceiveBlockRange.Minimum, Limit));

    /// <summary>Throws where options contradict each other, naming the option and the remedy.</summary>
    internal virtual void Validate()
    {
        ValidationErrors.ThrowIfAny(Ranges.Validate(this));
        if (WriteBufferLowWater > WriteBufferHighWater)
        {
            throw new ArgumentException(
                $"WriteBufferLowWater ({WriteBufferLowWater}) is above WriteBufferHighWater ({WriteBufferHighWater}); lower it or raise the other.");
        }

        if (Engine == ByteStreamEngine.Epoll && !LibC.IsSupported)
        {
            throw new ArgumentException("Engine is Epoll, which needs Linux on x64 or arm64; use Socket, or leave it out, on this system.");
        }
    }

    /// <summary>Throws where an address family is none of the two of IP, and not unspecified.</summary>
    private protected static void Validate(AddressFamily family)
    {
        if (family is not (AddressFamily.Unspecified or AddressFamily.InterNetwork or AddressFamily.InterNetworkV6))
        {
            throw new ArgumentException($"AddressFamily is {family}; it is Unspecified, InterNetwork or InterNetworkV6.");
        }
    }
}

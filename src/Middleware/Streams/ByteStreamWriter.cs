using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using ByteStreams.Streams;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams;

/// <summary>
/// Writes to a connection, and closes it. Source: asyncio's <c>StreamWriter</c>; docs/asyncio.md lists the differences.
/// </summary>
/// <remarks>
/// <para>
/// <c>Write</c> buffers and never waits. What was written leaves together at the next <see cref="DrainAsync"/>, before a read
/// waits, at the close, at 64 KiB, and else with no further call: on an event loop's thread when the handler goes on to await something
/// else; on other threads as soon as the thread pool has a thread where another task waits in a read, and within 10 ms where none does. Nothing bounds the buffer but
/// <see cref="DrainAsync"/>: await it in every loop that writes.
/// </para>
/// <para>
/// Concurrent calls of <c>Write</c> are allowed and never interleave inside one call's bytes. <see cref="GetSpan"/>,
/// <see cref="GetMemory"/> and <see cref="Advance"/> belong together and are for one caller at a time.
/// </para>
/// </remarks>
public sealed partial class ByteStreamWriter : IBufferWriter<byte>, IDispatchWork, IThreadPoolWorkItem
{
    /// <summary>Unflushed bytes that are sent without waiting for a drain: a socket's send buffer takes about as much at once.</summary>
    private const int FlushAt = 65536;

    /// <summary>A write of this size is worth a system call of its own: below it, copying costs less (test/Benchmarks/Parts).</summary>
    private const int LargeWrite = 16384;

    private readonly ConnectionContext? _connection;
    private readonly ByteStreamReader? _reader;
    private readonly ILogger _logger;
    private PipeWriter _output;
    private TransportPipeWriter? _direct;
    private IByteStreamTransportFeature? _link;
    private AbandonedGuard? _guard;

    private long _unflushed;

    // Not the monitor of the writer: a handler may lock that around several writes, and wait for a drain within.
    private ThinLock _gate;
    private FlushSchedule _schedule;
    private bool _leased;
    private bool _recheck;
    private bool _eof;
    private bool _closing;
    private bool _upgrading;
    private bool _warned;
    private Exception? _lost;

    // Null until a flush waits, which on most connections none does.
    private PendingFlush? _pending;
    private TaskCompletionSource? _closed;

    /// <summary>Makes a writer over any pipe.</summary>
    /// <param name="output">Where the bytes go. The writer is its only user from now on.</param>
    /// <param name="reader">The reader of the same connection, if there is one: before it waits, this writer's bytes are sent.</param>
    /// <param name="logger">Receives a warning when bytes are dropped because the connection is closed; may be null.</param>
    public ByteStreamWriter(PipeWriter output, ByteStreamReader? reader = null, ILogger? logger = null)
        : this(output, reader, connection: null, logger, DeferredFlush.Shared)
    {
    }

    internal ByteStreamWriter(
        PipeWriter output, ByteStreamReader? reader, ConnectionContext? connection, ILogger? logger, DeferredFlush deferred)
    {
        ArgumentNullException.ThrowIfNull(output);
        _output = output;
        _direct = output as TransportPipeWriter;
        _reader = reader;
        _connection = connection;
        _link = connection?.Features.Get<IByteStreamTransportFeature>();
        _logger = logger ?? NullLogger.Instance;
        _schedule = new FlushSchedule(deferred);
        reader?.Attach(this);
    }

    /// <summary>The connection below; null where the writer was made over a bare pipe.</summary>
    public ConnectionContext? Transport => _connection;

    /// <summary>
    /// Whether <see cref="WriteEof"/> can end this direction only. True over this library's transports and over bare pipes; false
    /// on Kestrel's stock transport, which can only close both directions at once.
    /// </summary>
    public bool CanWriteEof => _connection is null || (_link?.CanWriteEof ?? false);

    /// <summary>Whether the connection is closed or being closed from this side, or is lost.</summary>
    public bool IsClosing => Volatile.Read(ref _closing) || Volatile.Read(ref _lost) is not null || IsLinkEnded;

    /// <summary>The reader of the same connection; null where there is none.</summary>
    internal ByteStreamReader? Reader => _reader;

    /// <summary>Whether <see cref="Close"/> or <see cref="Abort()"/> was called.</summary>
    internal bool IsClosedHere => Volatile.Read(ref _closing);

    /// <summary>The peer's address, also after the close; null where there is none.</summary>
    public EndPoint? RemoteEndPoint => _connection?.RemoteEndPoint;

    /// <summary>This side's address, also after the close; null where there is none.</summary>
    public EndPoint? LocalEndPoint => _connection?.LocalEndPoint;

    /// <summary>The connection's id, as in the log; null over a bare pipe.</summary>
    public string? ConnectionId => _connection?.ConnectionId;

    /// <summary>The process at the other end of a Unix socket, also after the close; null elsewhere.</summary>
    public UnixCredentials? PeerCredentials => ConnectionInformation.PeerCredentials(_connection);

    /// <summary>
    /// The TLS stream of the connection; null if the connection is plain or its engine is <see cref="TlsEngine.OpenSsl"/>. It is disposed with the
    /// connection, and its own members throw from then on. The result of the handshake is in this writer's properties, with each engine.
    /// </summary>
    public SslStream? SslStream => ConnectionInformation.SslStream(_connection);

    /// <summary>The peer's certificate, also after the close; null where the connection is plain or the peer sent none.</summary>
    public X509Certificate2? PeerCertificate => ConnectionInformation.PeerCertificate(_connection);

    /// <summary>The negotiated TLS cipher suite, also after the close; null where the connection is plain.</summary>
    public TlsCipherSuite? CipherSuite => ConnectionInformation.CipherSuite(_connection);

    /// <summary>The negotiated TLS version, also after the close; null where the connection is plain.</summary>
    public SslProtocols? TlsProtocol => ConnectionInformation.TlsProtocol(_connection);

    /// <summary>The application protocol that TLS negotiated (ALPN), also after the close; empty where there is none.</summary>
    public SslApplicationProtocol ApplicationProtocol => ConnectionInformation.ApplicationProtocol(_connection);

    /// <summary>
    /// The server name that the client has requested (SNI), as it was sent, also after the close; null where the connection is plain or the
    /// client requested none.
    /// </summary>
    public string? TlsServerName => ConnectionInformation.TlsServerName(_connection);

    private bool IsFlushing => _pending is { IsUnderWay: true };

    /// <summary>Whether the transport knows already what the next flush will find out.</summary>
    private bool IsLinkEnded => _link is { CloseReason: not ConnectionCloseReason.None };

    /// <summary>Buffers bytes to be sent. Never waits and never fails because of the peer.</summary>
    /// <param name="data">Copied.</param>
    /// <exception cref="InvalidOperationException">After <see cref="WriteEof"/>, or during <c>StartTlsAsync</c>.</exception>
    /// <remarks>After <see cref="Close"/>, or when the connection is lost, the bytes are dropped, with one warning per connection.</remarks>
    public void Write(ReadOnlySpan<byte> data)
    {
        using (_gate.Enter())
        {
            if (CanWrite())
            {
                Append(data);
                Wrote();
            }
        }
    }

    /// <summary>Buffers bytes to be sent, as one call's bytes.</summary>
    /// <param name="data">Copied.</param>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    public void Write(in ReadOnlySequence<byte> data)
    {
        using (_gate.Enter())
        {
            if (CanWrite())
            {
                if (data.IsSingleSegment)
                {
                    Append(data.FirstSpan);
                }
                else
                {
                    foreach (ReadOnlyMemory<byte> segment in data)
                    {
                        Append(segment.Span);
                    }
                }

                Wrote();
            }
        }
    }

    /// <summary>Buffers text to be sent.</summary>
    /// <param name="text">Sent as it is: no line end is added.</param>
    /// <param name="encoding">UTF-8 where none is given; no byte-order mark is sent.</param>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    public void Write(string text, Encoding? encoding = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        using (_gate.Enter())
        {
            if (CanWrite())
            {
                _unflushed += (encoding ?? Encoding.UTF8).GetBytes(text, _output);
                Wrote();
            }
        }
    }

    /// <summary>Buffers several chunks, as one call's bytes. Empty chunks are fine.</summary>
    /// <param name="data">Copied. Nothing is sent of a list that throws while it is enumerated.</param>
    /// <exception cref="InvalidOperationException">As <see cref="Write(ReadOnlySpan{byte})"/>.</exception>
    public void WriteLines(IEnumerable<ReadOnlyMemory<byte>> data)
    {
        ArgumentNullException.ThrowIfNull(data);
        // The list is the caller's code: it runs before the lock is taken.
        ReadOnlyMemory<byte>[] chunks = [.. data];
        using (_gate.Enter())
        {
            if (CanWrite())
            {
                foreach (ReadOnlyMemory<byte> chunk in chunks)
                {
                    Append(chunk.Span);
                }

                Wrote();
            }
        }
    }

    /// <inheritdoc/>
    /// <exception cref="InvalidOperationException">After <see cref="WriteEof"/>; and after <see cref="Close"/> or the loss of the connection, when there is nothing left to write into.</exception>
    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        using (_gate.Enter())
        {
            if (!CanWrite())
            {
                // Bytes written to a closed connection are dropped: the caller gets memory that goes nowhere.
                return new byte[Math.Max(sizeHint, 256)];
            }

            Memory<byte> memory = _output.GetMemory(sizeHint);
            _leased = true;
            return memory;
        }
    }

    /// <inheritdoc/>
    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    public void Advance(int count)
    {
        using (_gate.Enter())
        {
            if (!_leased)
            {
                ArgumentOutOfRangeException.ThrowIfNegative(count);
                if (count > 0 && !IsClosing)
                {
                    throw new InvalidOperationException(
                        "Advance was called without memory: each Write takes back what GetMemory or GetSpan returned before it.");
                }

                return;
            }

            _output.Advance(count);
            _leased = false;
            _unflushed += count;
            Wrote();
        }
    }

    /// <summary>
    /// Sends what was written, and waits while more than the high-water mark (64 KiB by default) is queued, until no more than
    /// the low-water mark (16 KiB) is.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait only: no byte is taken back.</param>
    /// <returns>Done at once at or under the high-water mark. Any number of callers may wait; all are released.</returns>
    /// <exception cref="ConnectionResetException">The connection is lost, or closed from this side, also while this waits. The reader's stored exception is thrown first.</exception>
    public ValueTask DrainAsync(CancellationToken cancellationToken = default)
    {
        if (_reader?.Exception is Exception stored)
        {
            return ValueTask.FromException(stored);
        }

        if (cancellationToken.IsCancellationRequested)
        {
            return ValueTask.FromCanceled(cancellationToken);
        }

        if (_unflushed is > 0 and < FlushAt && !IsFlushing && !_recheck && !IsClosing && _reader is { HasBuffered: true }
            && _direct is not { Queued: > 0 } && LoopDispatch.Current is not null)
        {
            // The handler most likely answers what is buffered next: the answers are sent together when it waits, or at the end of the
            // dispatch. Where the peer accepts none, a drain waits for them as for the bytes that are queued already.
            return default;
        }

        Task drained;
        using (_gate.Enter())
        {
            if (IsLinkEnded && _eof)
            {
                Lose(new ConnectionResetException("The connection was lost."));
            }

            if (!_upgrading)
            {
                // An empty flush throws what ended the connection, even where nothing is left to send. During an upgrade the pipe is
                // the handshake's, which has sent what was written before.
                _recheck |= IsLinkEnded;
                Flush();
            }

            if (_lost is not null)
            {
                return ValueTask.FromException(_lost);
            }

            if (_closing)
            {
                return ValueTask.FromException(ClosedHere());
            }

            if (_pending is not { IsUnderWay: true })
            {
                return default;
            }

            drained = _pending.Drained;
        }

        return new ValueTask(cancellationToken.CanBeCanceled ? drained.WaitAsync(cancellationToken) : drained);
    }

    /// <summary>
    /// Sends what was written and then ends this direction: FIN, or close_notify over TLS. The reader continues. May be called twice;
    /// nothing happens once the connection is closing.
    /// </summary>
    /// <exception cref="NotSupportedException">The transport cannot, see <see cref="CanWriteEof"/>.</exception>
    /// <exception cref="InvalidOperationException">During <c>StartTlsAsync</c>.</exception>
    public void WriteEof()
    {
        using (_gate.Enter())
        {
            if (_eof || _closing || _lost is not null)
            {
                return;
            }

            if (_upgrading)
            {
                // It would end the plain direction under the handshake.
                throw new InvalidOperationException("WriteEof was called while StartTlsAsync is at work; await it first.");
            }

            if (!CanWriteEof)
            {
                throw new NotSupportedException(
                    "This transport cannot end one direction only; listen through ByteStreams' own transport, or close the writer.");
            }

            // A drain after this waits, if more than the high-water mark is left.
            Flush();
            _eof = true;
            _unflushed = 0;
            _output.Complete();
        }
    }

    /// <summary>
    /// Begins the close and returns at once: everything written before is sent, then the connection is closed. What the peer
    /// still sends is discarded for a bounded time and amount, so that no reset destroys the reply. The reader sees the end
    /// after what it has buffered. May be called twice.
    /// </summary>
    public void Close() => CloseFor(ConnectionCloseReason.None);

    /// <summary>Closes the connection as <see cref="Close()"/> does, with a close reason.</summary>
    /// <param name="reason">The close reason; none if the handler closes the connection.</param>
    internal void CloseFor(ConnectionCloseReason reason)
    {
        using (_gate.Enter())
        {
            if (_closing)
            {
                return;
            }

            _closing = true;
            _unflushed = 0;
            // First: the transport notes which side closed, before the peer can answer the end that is sent here.
            _link?.Close(reason);
            if (!_eof && _lost is null)
            {
                _output.Complete();
            }

            _pending?.Fail(ClosedHere());
            if (_connection is null)
            {
                _closed?.TrySetResult();
            }
        }

        _guard?.Dispose();
        _reader?.Close();
    }

    /// <summary>Drops what is buffered and resets the connection. The reader sees the end.</summary>
    public void Abort() => Abort(ConnectionCloseReason.Aborted, null);

    /// <summary>Waits until the connection is closed, by this side or by the peer.</summary>
    /// <param name="cancellationToken">Ends the wait only.</param>
    /// <returns>
    /// Done after a clean close, when the peer's side has acknowledged everything that was written, or after <see cref="Abort()"/>. May be
    /// awaited any number of times, also by several callers.
    /// </returns>
    /// <exception cref="ConnectionResetException">The connection was lost; also noticed while nothing is read or written.</exception>
    /// <exception cref="TimeoutException">
    /// Written bytes did not reach the peer within the bounds of the close: the peer took none for <c>TlsShutdownTimeout</c> (30 s by default), or
    /// acknowledged none for <c>LingerTimeout</c> (2 s by default). Source: asyncio's <c>ssl_shutdown_timeout</c>.
    /// </exception>
    /// <exception cref="ConnectionAbortedException">The server or middleware, such as a timeout, aborted the connection while written bytes were left.</exception>
    public Task WaitClosedAsync(CancellationToken cancellationToken = default)
    {
        if (_link is not null)
        {
            return _link.WaitClosedAsync().WaitAsync(cancellationToken);
        }

        using (_gate.Enter())
        {
            if (_closed is null)
            {
                _closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                if (_connection is not null)
                {
                    _connection.ConnectionClosed.UnsafeRegister(static source => ((TaskCompletionSource)source!).TrySetResult(), _closed);
                }
                else if (_closing)
                {
                    _closed.SetResult();
                }
                else if (_lost is not null)
                {
                    _closed.SetException(_lost);
                }
            }

            return _closed.Task.WaitAsync(cancellationToken);
        }
    }

    /// <summary>
    /// asyncio's names for information about the connection: <c>peername</c>, <c>sockname</c> (<see cref="EndPoint"/>), <c>socket</c>
    /// (<see cref="System.Net.Sockets.Socket"/>), <c>peercred</c> (<see cref="UnixCredentials"/>); with TLS <c>ssl_object</c>
    /// (<see cref="System.Net.Security.SslStream"/>; with <see cref="TlsEngine.OpenSsl"/> the
    /// <see cref="Microsoft.AspNetCore.Connections.Features.ITlsHandshakeFeature"/>), <c>sslcontext</c> (its options), <c>peercert</c>
    /// (<see cref="X509Certificate2"/>), <c>cipher</c> (<see cref="TlsCipherSuite"/>), <c>compression</c> (always absent: TLS
    /// compression is insecure and not offered). Beyond asyncio's, with TLS: <c>alpn</c> (<see cref="SslApplicationProtocol"/>) and
    /// <c>sni</c> (a string), absent where there is none. All of them stay known after the connection has ended, except
    /// <c>socket</c> where it was not asked for before.
    /// </summary>
    /// <param name="name">One of these names.</param>
    /// <param name="defaultValue">Returned where the value or the name is unknown.</param>
    /// <returns>The value, or <paramref name="defaultValue"/>.</returns>
    public object? GetExtraInfo(string name, object? defaultValue = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        return ConnectionInformation.Find(_connection, name) ?? defaultValue;
    }

    /// <summary>
    /// Sets the marks of flow control: <see cref="DrainAsync"/> waits above <paramref name="high"/> queued bytes, until no more
    /// than <paramref name="low"/> are. Source: asyncio's <c>set_write_buffer_limits</c>, with its defaults.
    /// </summary>
    /// <param name="high">In bytes; 64 KiB by default, four times <paramref name="low"/> where only that is given.</param>
    /// <param name="low">In bytes; a quarter of <paramref name="high"/> by default.</param>
    /// <exception cref="ArgumentOutOfRangeException">Not high &gt;= low &gt;= 0.</exception>
    /// <exception cref="NotSupportedException">Over a bare pipe or a foreign transport, which have limits of their own.</exception>
    public void SetWriteBufferLimits(int? high = null, int? low = null)
    {
        if (_link is null)
        {
            throw new NotSupportedException("The limits of this pipe are those of its PipeOptions (PauseWriterThreshold).");
        }

        int highWater = high ?? (low is int given ? checked(4 * given) : 65536);
        _link.WriteBufferLimits = (highWater, low ?? highWater / 4);
        using (_gate.Enter())
        {
            // What was under the mark before may be above it now.
            _recheck = true;
        }
    }
}

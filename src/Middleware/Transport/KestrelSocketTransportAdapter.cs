using System.Buffers;
using System.Diagnostics;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>
/// <see cref="IByteStreamTransportFeature"/> for a connection of another transport, Kestrel's socket transport above all: counts, close
/// reason, close and abort. Half-close is not available; <see cref="CanWriteEof"/> reports it.
/// </summary>
internal sealed class KestrelSocketTransportAdapter : IDuplexPipe, IByteStreamTransportFeature, IConnectionProgress
{
    private readonly ConnectionContext _context;
    private readonly CountingReader _input;
    private readonly CountingWriter _output;
    private int _reason;
    private IProgressObserver? _inputObserver;
    private IProgressObserver? _outputObserver;
    private IEndObserver? _endObserver;

    public KestrelSocketTransportAdapter(ConnectionContext context)
    {
        _context = context;
        _input = new CountingReader(context.Transport.Input, this);
        _output = new CountingWriter(context.Transport.Output, this);
    }

    public PipeReader Input => _input;

    public PipeWriter Output => _output;

    public bool CanWriteEof => false;

    public long BytesReceived => _input.Received;

    public long BytesSent => _output.Sent;

    public ConnectionCloseReason CloseReason
    {
        get
        {
            var reason = (ConnectionCloseReason)Volatile.Read(ref _reason);
            if (reason != ConnectionCloseReason.None || !_context.ConnectionClosed.IsCancellationRequested)
            {
                return reason;
            }

            // Kestrel's token fires at the peer's FIN too, after which replies can still be sent.
            return !_input.IsEnded ? ConnectionCloseReason.ResetByPeer
                : _output.IsCompleted || _output.IsLost ? ConnectionCloseReason.ClosedByPeer
                : ConnectionCloseReason.None;
        }
    }

    public (int HighWater, int LowWater) WriteBufferLimits
    {
        get => (65536, 16384);
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value.LowWater);
            ArgumentOutOfRangeException.ThrowIfLessThan(value.HighWater, value.LowWater);
            throw new NotSupportedException("The limits of this transport belong to it (SocketTransportOptions.MaxWriteBufferSize).");
        }
    }

    public long WriteBufferSize => _output.Waiting;

    public bool IsWaitingForInput => _input.IsWaiting;

    public bool IsSendWaiting => _output.IsWaiting;

    public long InputReceived => _input.Received;

    public long BufferedInput => _input.Buffered;

    public bool IsInputEnded => _input.IsEnded;

    public bool IsOutputEnded => _output.IsCompleted;

    public bool IsClosed => _context.ConnectionClosed.IsCancellationRequested && _output.IsCompleted;

    public long FirstByteAt => _input.FirstByteAt;

    /// <summary>Kestrel's transport sends what was written before it disposes the socket.</summary>
    public Task OutputFinished => Task.CompletedTask;

    public IProgressObserver? Observer => _inputObserver ?? _outputObserver;

    public void Observe(IProgressObserver observer, bool input, bool output)
    {
        _inputObserver = input ? observer : null;
        _outputObserver = output ? observer : null;
    }

    public void ObserveEnd(IEndObserver? observer)
    {
        // A full fence: the thread that closes the connection sets the reason and then reads the observer.
        bool isFirst = Interlocked.Exchange(ref _endObserver, observer) is null;
        if (observer is null)
        {
            return;
        }

        if (isFirst && _context.ConnectionClosed.CanBeCanceled)
        {
            _context.ConnectionClosed.UnsafeRegister(static transport => ((KestrelSocketTransportAdapter)transport!).ReportEnding(), this);
        }

        ReportEnding();
    }

    public void Close(ConnectionCloseReason reason = ConnectionCloseReason.None)
    {
        if (reason == ConnectionCloseReason.None)
        {
            reason = _input.IsEnded ? ConnectionCloseReason.ClosedByPeer : ConnectionCloseReason.ClosedLocally;
        }

        Note(reason);
        _output.Complete();
        ReportEnding();
    }

    public void Abort(ConnectionCloseReason reason, Exception? cause = null)
    {
        Note(reason);
        _context.Abort(cause as ConnectionAbortedException ?? new ConnectionAbortedException("The connection was aborted from this side.", cause!));
        ReportEnding();
    }

    public Task WaitClosedAsync()
    {
        // A context of a test may have no such token.
        if (!_context.ConnectionClosed.CanBeCanceled || _context.ConnectionClosed.IsCancellationRequested)
        {
            return Task.CompletedTask;
        }

        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _context.ConnectionClosed.UnsafeRegister(static source => ((TaskCompletionSource)source!).TrySetResult(), closed);
        return closed.Task;
    }

    private void ReportEnding()
    {
        // Kestrel's token fires at the peer's FIN too, which looks like a reset before it is read, and shuts down one direction only.
        if (Volatile.Read(ref _reason) != (int)ConnectionCloseReason.None || (_input.IsEnded && CloseReason != ConnectionCloseReason.None))
        {
            Volatile.Read(ref _endObserver)?.OnEnding();
        }
    }

    /// <summary>Keeps the first reason.</summary>
    private void Note(ConnectionCloseReason reason) => _ = Interlocked.CompareExchange(ref _reason, (int)reason, (int)ConnectionCloseReason.None);

    /// <summary>Counts received bytes: those of a read that the previous one did not leave unconsumed.</summary>
    private sealed class CountingReader(PipeReader inner, KestrelSocketTransportAdapter transport) : PipeReader
    {
        private long _left;
        private ReadOnlySequence<byte> _shown;
        private volatile bool _waiting;
        private volatile bool _ended;
        private long _received;
        private long _firstByteAt;

        public long Received => Volatile.Read(ref _received);

        public long Buffered => Volatile.Read(ref _left);

        public bool IsWaiting => _waiting;

        public bool IsEnded => _ended;

        public long FirstByteAt => Volatile.Read(ref _firstByteAt);

        public override async ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            transport._inputObserver?.OnReadWaits();
            _waiting = true;
            try
            {
                return Count(await inner.ReadAsync(cancellationToken).ConfigureAwait(false));
            }
            catch (ConnectionResetException)
            {
                // Set here first: the handler aborts when it gets the exception, which is not the close reason.
                transport.Note(ConnectionCloseReason.ResetByPeer);
                throw;
            }
            finally
            {
                _waiting = false;
            }
        }

        public override bool TryRead(out ReadResult result)
        {
            bool any = inner.TryRead(out result);
            if (any)
            {
                Count(result);
            }

            return any;
        }

        public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            Volatile.Write(ref _left, _shown.Slice(consumed).Length);
            _shown = default;
            inner.AdvanceTo(consumed, examined);
        }

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        private ReadResult Count(in ReadResult result)
        {
            _shown = result.Buffer;
            long more = _shown.Length - _left;
            if (more > 0)
            {
                if (_received == 0)
                {
                    Volatile.Write(ref _firstByteAt, Stopwatch.GetTimestamp());
                }

                Volatile.Write(ref _received, _received + more);
                Volatile.Write(ref _left, _shown.Length);
            }

            if (result.IsCompleted && !_ended)
            {
                transport._inputObserver?.OnDirectionEnds();
                _ended = true;
            }

            return result;
        }
    }

    /// <summary>Counts the bytes that the transport has accepted.</summary>
    private sealed class CountingWriter(PipeWriter inner, KestrelSocketTransportAdapter transport) : PipeWriter
    {
        private long _written;
        private long _sent;
        private volatile bool _completed;
        private volatile bool _waiting;
        private volatile bool _lost;

        public bool IsWaiting => _waiting;

        /// <summary>Whether a flush reported that the connection accepts no more bytes.</summary>
        public bool IsLost => _lost;

        public long Sent => Volatile.Read(ref _sent);

        public long Waiting => Volatile.Read(ref _written) - Volatile.Read(ref _sent);

        public bool IsCompleted => _completed;

        public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => inner.UnflushedBytes;

        public override void Advance(int bytes)
        {
            inner.Advance(bytes);
            Volatile.Write(ref _written, _written + bytes);
        }

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            long flushed = _written;
            ValueTask<FlushResult> flush = inner.FlushAsync(cancellationToken);
            if (!flush.IsCompletedSuccessfully)
            {
                return WaitAsync(flush, flushed);
            }

            return new ValueTask<FlushResult>(Count(flush.Result, flushed));
        }

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null)
        {
            if (!_completed)
            {
                transport._outputObserver?.OnDirectionEnds();
                _completed = true;
                inner.Complete(exception);
            }
        }

        private async ValueTask<FlushResult> WaitAsync(ValueTask<FlushResult> flush, long flushed)
        {
            transport._outputObserver?.OnSendWaits();
            _waiting = true;
            try
            {
                return Count(await flush.ConfigureAwait(false), flushed);
            }
            finally
            {
                _waiting = false;
            }
        }

        private FlushResult Count(in FlushResult result, long flushed)
        {
            Volatile.Write(ref _sent, flushed);
            _lost |= result.IsCompleted;
            return result;
        }
    }
}

using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Transport;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>
/// One TLS connection of OpenSSL: takes encrypted bytes from the input's blocks, writes encrypted bytes to the output's blocks, and copies plain
/// bytes between its record and the caller's memory. Neither waits nor flushes.
/// </summary>
/// <remarks>
/// Thread-safe: one call at a time enters OpenSSL, for the time of a few records. A dispose during a call, also one from its callbacks, takes
/// effect at the end of the call; calls after it return <see cref="OpenSslStatus.Disposed"/>.
/// </remarks>
internal sealed class OpenSslSession : IDisposable
{
    private const int Free = 0;
    private const int Held = 1;
    private const int HeldAndDisposed = 2;
    private const int Disposed = 3;

    /// <summary>The number of records that reads may write after the handshake: refusals to renegotiate, and an alert.</summary>
    private const int MaxReplies = 8;

    private readonly SslHandle _handle;

    // The owned SSL. Used only while the gate is held, which is before the handle is released.
    private readonly nint _ssl;
    private int _gate;
    private bool _hasPlain;
    private bool _isSending;
    private bool _hasEnded;
    private bool _isOpen;
    private int _repliesOfReads;
    private int _recordsWithoutData;
    private bool _isWriteFlushing;
    private Task _repliesFlush = Task.CompletedTask;
    private TaskCompletionSource? _readProgress;
    private bool _hasFailed;
    private volatile bool _hasOutput;

    /// <param name="context">The context that the connection begins with.</param>
    /// <param name="input">The encrypted bytes of the peer.</param>
    /// <param name="output">The pipe of encrypted bytes to the peer.</param>
    /// <param name="side">Decides in the handshake.</param>
    /// <exception cref="System.Security.Authentication.AuthenticationException">OpenSSL failed.</exception>
    public OpenSslSession(SslContextHandle context, EncryptedInput input, PipeWriter output, OpenSslSide side)
    {
        Input = input;
        Side = side;
        Output = output;
        _ssl = LibSsl.SSL_new(context);
        if (_ssl == 0)
        {
            throw OpenSslError.ToException("OpenSSL cannot create a connection");
        }

        _handle = new SslHandle(_ssl, this);
        nint bio = OpenSslCallbacks.CreateBio(_handle.CallbackData);
        // One reference each for reading and writing; the same BIO in both takes one.
        LibSsl.SSL_set_bio(_ssl, bio, bio);
        _ = LibSsl.SSL_set_ex_data(_ssl, OpenSslCallbacks.SessionIndex, _handle.CallbackData);
        try
        {
            side.Begin(_ssl);
        }
        catch
        {
            _handle.Dispose();
            throw;
        }
    }

    public EncryptedInput Input { get; }

    /// <summary>The pipe of encrypted bytes to the peer.</summary>
    public PipeWriter Output { get; }

    /// <summary>What this side of the handshake decides, and what it has found out about the peer.</summary>
    public OpenSslSide Side { get; }

    /// <summary>The reason of the last failure.</summary>
    public OpenSslError Error { get; private set; }

    /// <summary>The error of a pipe in a callback; null for none.</summary>
    public Exception? PipeError { get; private set; }

    /// <summary>Whether a read can be tried: plain bytes, encrypted ones, close_notify, or a failure.</summary>
    public bool CanRead => _hasPlain || _hasEnded || _hasFailed || Input.Left > 0;

    /// <summary>Whether reads fail because the peer has sent too much without application data.</summary>
    public bool IsFlooded { get; private set; }

    /// <summary>Whether the state of OpenSSL is freed.</summary>
    public bool IsDisposed => Volatile.Read(ref _gate) == Disposed;

    /// <summary>Whether a handshake or a read has written to the output: it has to be flushed. After a write the caller flushes in any case.</summary>
    public bool HasOutput => _hasOutput;

    /// <summary>Continues the handshake.</summary>
    public OpenSslStatus Handshake()
    {
        if (!TryEnter())
        {
            return OpenSslStatus.Disposed;
        }

        try
        {
            LibSsl.ERR_clear_error();
            int result = LibSsl.SSL_do_handshake(_ssl);
            if (result != 1)
            {
                return GetStatus(result);
            }

            Side.Complete(_ssl);
            _isOpen = true;
            return OpenSslStatus.Done;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Decrypts into <paramref name="destination"/>, as many records as fit.</summary>
    public unsafe OpenSslStatus Read(Span<byte> destination, out int count)
    {
        count = 0;
        if (!TryEnter())
        {
            return OpenSslStatus.Disposed;
        }

        try
        {
            if (_hasFailed)
            {
                return OpenSslStatus.Failed;
            }

            fixed (byte* start = destination)
            {
                LibSsl.ERR_clear_error();
                do
                {
                    int result = LibSsl.SSL_read(_ssl, start + count, destination.Length - count);
                    if (result <= 0)
                    {
                        _hasPlain = false;
                        OpenSslStatus status = GetStatus(result);
                        // The next call returns close_notify and failures again.
                        return count > 0 ? OpenSslStatus.Done : status;
                    }

                    _recordsWithoutData = 0;
                    count += result;
                }
                while (count < destination.Length && Input.Left > 0);
                _hasPlain = count == destination.Length && LibSsl.SSL_pending(_ssl) > 0;
            }

            return OpenSslStatus.Done;
        }
        finally
        {
            TaskCompletionSource? waiting = _readProgress;
            _readProgress = null;
            Exit();
            waiting?.TrySetResult();
        }
    }

    /// <summary>
    /// Encrypts all of <paramref name="source"/>, which is not empty, to the output; nothing of it if it <see cref="OpenSslStatus.NeedsInput"/>: a
    /// message after the handshake, such as a session ticket, has arrived in part. See <see cref="WaitForReadAsync"/>.
    /// </summary>
    public unsafe OpenSslStatus Write(ReadOnlySpan<byte> source)
    {
        if (!TryEnter())
        {
            return OpenSslStatus.Disposed;
        }

        try
        {
            fixed (byte* start = source)
            {
                LibSsl.ERR_clear_error();
                _isSending = true;
                int result = LibSsl.SSL_write(_ssl, start, source.Length);
                _isSending = false;
                return result > 0 ? OpenSslStatus.Done : GetStatus(result);
            }
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Completes after the next read.</summary>
    public Task WaitForReadAsync()
    {
        if (!TryEnter())
        {
            return Task.CompletedTask;
        }

        Task progress = (_readProgress ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        Exit();
        return progress;
    }

    /// <summary>Writes close_notify to the output, unless the session has failed. As <see cref="Write"/>, it may need input.</summary>
    public OpenSslStatus Shutdown()
    {
        if (!TryEnter())
        {
            return OpenSslStatus.Disposed;
        }

        try
        {
            if (!_hasFailed)
            {
                LibSsl.ERR_clear_error();
                // Zero and less also if the peer's close_notify has not arrived: it is read by a read.
                _isSending = true;
                int result = LibSsl.SSL_shutdown(_ssl);
                _isSending = false;
                bool isWithinMessage = result < 0 && PipeError is null;
                LibSsl.ERR_clear_error();
                return isWithinMessage ? OpenSslStatus.NeedsInput : OpenSslStatus.Done;
            }

            return OpenSslStatus.Done;
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Sends what was written to the output. One call at a time, after writes and within the handshake.</summary>
    public ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        _hasOutput = false;
        return Output is TransportPipeWriter ? BeginFlush(cancellationToken) : FlushForeignAsync(cancellationToken);
    }

    /// <summary>Sends what a read has written to the output, without a wait. The output reports its failure to the next write.</summary>
    public void FlushReplies()
    {
        _hasOutput = false;
        if (Output is TransportPipeWriter)
        {
            _ = ObserveAsync(BeginFlush(CancellationToken.None));
        }
        else if (TryEnter())
        {
            // A flush of the writing task that is in progress has its own end; the bytes go with the next one, or the close.
            if (!_isWriteFlushing && _repliesFlush.IsCompleted)
            {
                _repliesFlush = ObserveAsync(BeginFlush(CancellationToken.None));
            }

            Exit();
        }
    }

    /// <summary>Called by OpenSSL within a call: copies encrypted bytes of the peer.</summary>
    /// <returns>The number of bytes; zero if there are none, negative if the input has failed.</returns>
    public int TakeEncrypted(Span<byte> destination)
    {
        try
        {
            if (_recordsWithoutData > TlsRecords.MaxWithoutData)
            {
                IsFlooded = true;
                return 0;
            }

            int count = Input.Take(destination);
            // OpenSSL reads the header of each record first.
            _recordsWithoutData += _isOpen && count > 0 && destination.Length == TlsRecords.HeaderLength ? 1 : 0;
            return count;
        }
        catch (Exception error)
        {
            // The pipe was completed, which returns its blocks, while they are decrypted for a connection that discards them.
            PipeError ??= error;
            return -1;
        }
    }

    /// <summary>Called by OpenSSL within a call: writes encrypted bytes to the output.</summary>
    /// <returns>Whether they were written.</returns>
    public bool TryWriteEncrypted(ReadOnlySpan<byte> encrypted)
    {
        if (_isOpen && !_isSending && ++_repliesOfReads > MaxReplies)
        {
            // A peer that asks for renegotiation and reads no refusal.
            IsFlooded = true;
            return false;
        }

        try
        {
            if (Output is TransportPipeWriter own)
            {
                own.Append(encrypted);
            }
            else
            {
                Output.Write(encrypted);
            }

            _hasOutput |= !_isSending;
            return true;
        }
        catch (Exception error)
        {
            // The pipe was completed. An exception must not pass through OpenSSL.
            PipeError = error;
            return false;
        }
    }

    public void Dispose()
    {
        while (true)
        {
            int state = Volatile.Read(ref _gate);
            if (state is Disposed or HeldAndDisposed)
            {
                return;
            }

            int next = state == Free ? Disposed : HeldAndDisposed;
            if (Interlocked.CompareExchange(ref _gate, next, state) == state)
            {
                if (next == Disposed)
                {
                    _handle.Dispose();
                }

                return;
            }
        }
    }

    private static async Task ObserveAsync(ValueTask<FlushResult> flush)
    {
        if (!flush.IsCompletedSuccessfully)
        {
            await ((Task)flush.AsTask()).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Another pipe than this library's takes one writer at a time: its memory is written to within the gate only.</summary>
    private async ValueTask<FlushResult> FlushForeignAsync(CancellationToken cancellationToken)
    {
        await _repliesFlush.ConfigureAwait(false);
        ObjectDisposedException.ThrowIf(!TryEnter(), this);
        _isWriteFlushing = true;
        ValueTask<FlushResult> flush = BeginFlush(cancellationToken);
        Exit();
        try
        {
            return await flush.ConfigureAwait(false);
        }
        finally
        {
            Volatile.Write(ref _isWriteFlushing, false);
        }
    }

    private ValueTask<FlushResult> BeginFlush(CancellationToken cancellationToken)
    {
        try
        {
            return Output.FlushAsync(cancellationToken);
        }
        catch (InvalidOperationException error)
        {
            // The pipe was completed.
            return ValueTask.FromException<FlushResult>(error);
        }
    }

    private OpenSslStatus GetStatus(int result)
    {
        switch (LibSsl.SSL_get_error(_ssl, result))
        {
            case LibSsl.ErrorWantRead:
                return OpenSslStatus.NeedsInput;
            case LibSsl.ErrorZeroReturn:
                _hasEnded = true;
                return OpenSslStatus.Ended;
            default:
                Error = OpenSslError.Take();
                // What has arrived can still be read if only the output has failed.
                _hasFailed = PipeError is null;
                return OpenSslStatus.Failed;
        }
    }

    private bool TryEnter()
    {
        SpinWait spin = default;
        while (true)
        {
            int state = Interlocked.CompareExchange(ref _gate, Held, Free);
            if (state == Free)
            {
                return true;
            }

            if (state != Held)
            {
                return false;
            }

            spin.SpinOnce(sleep1Threshold: -1);
        }
    }

    private void Exit()
    {
        if (Interlocked.CompareExchange(ref _gate, Free, Held) != Held)
        {
            Volatile.Write(ref _gate, Disposed);
            _handle.Dispose();
        }
    }
}

using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls.OpenSsl;

/// <summary>A TLS channel of OpenSSL. Records are decrypted into the reader's block, and encrypted into the blocks of the pipe below.</summary>
internal sealed class OpenSslChannel : TlsChannel
{
    /// <summary>The most that is encrypted before it is flushed: two full records. It is buffered besides the plain bytes until the peer takes it.</summary>
    private const int LargestSend = 32768;

    private readonly OpenSslSession _session;
    private readonly EncryptedInput _input;
    private readonly Action _onRead;
    private ValueTaskAwaiter<ReadResult> _read;
    private IReceiver? _receiver;

    // A read that the pipe below has answered, and that was not accepted.
    private bool _isReadDue;

    /// <param name="session">The session, after its handshake.</param>
    public OpenSslChannel(OpenSslSession session)
    {
        _session = session;
        _input = session.Input;
        _input.Records.OnData();
        _onRead = OnRead;
    }

    /// <summary>Whether the state of OpenSSL is freed.</summary>
    public bool IsDisposed => _session.IsDisposed;

    public override TlsRecords Records => _input.Records;

    public override bool HasPeerEnded => _input.HasPeerEnded;

    public override bool CallsReceiver => true;

    [SuppressMessage("Reliability", "CA2012", Justification = "The read is consumed once: here if it is completed, else by the awaiter.")]
    public override bool WaitToReceive(IReceiver receiver)
    {
        if (_isReadDue || _session.CanRead || _input.HasEnded || Flood is not null)
        {
            return true;
        }

        if (Records.WithoutData > TlsRecords.MaxWithoutData)
        {
            ReportFlood();
            return true;
        }

        _input.Release();
        try
        {
            ValueTask<ReadResult> read = _input.ReadAsync();
            if (!read.IsCompleted)
            {
                _receiver = receiver;
                _read = read.GetAwaiter();
                _read.UnsafeOnCompleted(_onRead);
                return false;
            }

            _input.Accept(read.GetAwaiter().GetResult());
            return true;
        }
        catch (Exception error) when (ToTransportError(error) is Exception transportError && !ReferenceEquals(error, transportError))
        {
            throw transportError;
        }
    }

    public override bool TryReceive(Span<byte> destination, out int received, out Exception? loss)
    {
        received = 0;
        loss = Flood;
        if (loss is not null)
        {
            return true;
        }

        if (_isReadDue)
        {
            _isReadDue = false;
            try
            {
                _input.Accept(_read.GetResult());
            }
            catch (Exception error)
            {
                loss = ToTransportError(error);
                return true;
            }
        }

        if (!_session.CanRead)
        {
            // Of a call that does not wait for a read of the pipe below; or the end.
            return _input.HasEnded && _receiver is null && TryEnd(out loss);
        }

        OpenSslStatus status = _session.Read(destination, out received);
        _input.Release();
        if (_session.HasOutput)
        {
            // An alert, or a refusal to renegotiate.
            _session.FlushReplies();
        }

        if (_session.IsFlooded && status != OpenSslStatus.Done)
        {
            loss = ReportFlood();
            return true;
        }

        switch (status)
        {
            case OpenSslStatus.Done:
                Records.OnData();
                return true;
            case OpenSslStatus.NeedsInput:
                return _input.HasEnded && TryEnd(out loss);
            case OpenSslStatus.Ended:
                return true;
            case OpenSslStatus.Failed:
                loss = _session.PipeError is Exception output ? ToTransportError(output) : Failed();
                return true;
            default:
                loss = ToTransportError(new ObjectDisposedException(nameof(OpenSslSession)));
                return true;
        }
    }

    public override ValueTask<int> SendAsync(ReadOnlySequence<byte> source)
    {
        int accepted = Encrypt(source);
        if (accepted == 0)
        {
            return SendAfterReadAsync(source);
        }

        ValueTask<FlushResult> flush = _session.FlushAsync();
        if (!flush.IsCompletedSuccessfully)
        {
            return FlushAsync(flush, accepted);
        }

        FlushResult result = flush.Result;
        return result is { IsCompleted: false, IsCanceled: false } ? new(accepted) : FlushAsync(new(result), accepted);
    }

    /// <summary>
    /// Encrypts the caller's bytes without a copy of them, if nothing waits to be sent. What the connection below does not accept at once is
    /// queued there: at most one such write.
    /// </summary>
    public override int TrySend(in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more)
    {
        if (!queued.IsEmpty || more.IsEmpty || _session.Output is not TransportPipeWriter { Queued: 0, IsSending: false })
        {
            return 0;
        }

        ReadOnlySpan<byte> bytes = more[..Math.Min(more.Length, LargestSend)];
        if (_session.Write(bytes) != OpenSslStatus.Done)
        {
            // The next send reports it.
            return 0;
        }

        // Not awaited: the connection below counts what it has queued, and reports its failure to the next send.
        _session.FlushReplies();
        return bytes.Length;
    }

    public override ValueTask ShutdownSendAsync()
    {
        switch (_session.Shutdown())
        {
            case OpenSslStatus.Done:
                ValueTask<int> flush = FlushAsync(_session.FlushAsync(), 0);
                return flush.IsCompletedSuccessfully ? Completed(flush) : new ValueTask(flush.AsTask());
            case OpenSslStatus.NeedsInput:
                return ShutdownAfterReadAsync();
            default:
                return ValueTask.FromException(ToTransportError(new ObjectDisposedException(nameof(OpenSslSession))));
        }

        static ValueTask Completed(ValueTask<int> flush)
        {
            _ = flush.Result;
            return default;
        }
    }

    /// <summary>A message of the peer has arrived in part: nothing can be written until it is complete. A close reads on, and has a timeout.</summary>
    private async ValueTask ShutdownAfterReadAsync()
    {
        await _session.WaitForReadAsync().ConfigureAwait(false);
        await ShutdownSendAsync().ConfigureAwait(false);
    }

    /// <inheritdoc cref="ShutdownAfterReadAsync"/>
    private async ValueTask<int> SendAfterReadAsync(ReadOnlySequence<byte> source)
    {
        await _session.WaitForReadAsync().ConfigureAwait(false);
        return await SendAsync(source).ConfigureAwait(false);
    }

    public override void Detach() => _session.Dispose();

    public override void Close() => _session.Dispose();

    private void OnRead()
    {
        IReceiver receiver = _receiver!;
        _receiver = null;
        _isReadDue = true;
        receiver.OnReady();
    }

    /// <summary>EOF below: returns true, and its loss if it is a truncation.</summary>
    private bool TryEnd(out Exception? loss)
    {
        bool isWithinRecord = Records.Unfinished > 0;
        EndedWithoutCloseNotify = true;
        loss = isWithinRecord || RequiresCloseNotify ? Truncated(null) : null;
        return true;
    }

    /// <summary>Encrypts up to <see cref="LargestSend"/> bytes. Returns their number; zero if a message of the peer has to be complete first.</summary>
    private int Encrypt(in ReadOnlySequence<byte> source)
    {
        int accepted = 0;
        foreach (ReadOnlyMemory<byte> segment in source)
        {
            ReadOnlySpan<byte> bytes = segment.Span[..Math.Min(segment.Length, LargestSend - accepted)];
            if (!bytes.IsEmpty && !TryEncrypt(bytes))
            {
                break;
            }

            accepted += bytes.Length;
            if (accepted == LargestSend)
            {
                break;
            }
        }

        return accepted;
    }

    private bool TryEncrypt(ReadOnlySpan<byte> bytes) => _session.Write(bytes) switch
    {
        OpenSslStatus.Done => true,
        OpenSslStatus.NeedsInput => false,
        OpenSslStatus.Disposed => throw ToTransportError(new ObjectDisposedException(nameof(OpenSslSession))),
        _ => throw (_session.PipeError is Exception error ? ToTransportError(error) : Failed()),
    };

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> FlushAsync(ValueTask<FlushResult> flush, int accepted)
    {
        try
        {
            FlushResult result = await flush.ConfigureAwait(false);
            if (result.IsCanceled)
            {
                throw new OperationCanceledException("The flush of the pipe was cancelled.");
            }

            if (result.IsCompleted)
            {
                throw IOutputFailure.Of(_session.Output);
            }

            return accepted;
        }
        catch (Exception error) when (ToTransportError(error) is Exception transportError && !ReferenceEquals(error, transportError))
        {
            throw transportError;
        }
    }

    private Exception ToTransportError(Exception error) => ToTransportError(error, _input.FindError);

    private ConnectionResetException Failed() => new($"The TLS connection failed: {_session.Error.Text}");
}

using System.Buffers;
using System.IO.Pipelines;
using ByteStreams.Transport;

namespace ByteStreams.ByteLogging;

/// <summary>Logs what is written, at each call of <c>Advance</c>.</summary>
internal sealed class LoggingWriter(PipeWriter inner, ByteLog log) : PipeWriter, IOutputFailure
{
    private const string Sent = "sent";

    private Memory<byte> _lent;
    private bool _completed;

    public Exception? Failure => (inner as IOutputFailure)?.Failure;

    public override bool CanGetUnflushedBytes => inner.CanGetUnflushedBytes;

    public override long UnflushedBytes => inner.UnflushedBytes;

    public override void Advance(int bytes)
    {
        log.Bytes(Sent, new ReadOnlySequence<byte>(_lent[..bytes]));
        _lent = _lent[bytes..];
        inner.Advance(bytes);
    }

    public override Memory<byte> GetMemory(int sizeHint = 0) => _lent = inner.GetMemory(sizeHint);

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => inner.FlushAsync(cancellationToken);

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source, CancellationToken cancellationToken = default)
    {
        log.Bytes(Sent, new ReadOnlySequence<byte>(source));
        return inner.WriteAsync(source, cancellationToken);
    }

    public override void CancelPendingFlush() => inner.CancelPendingFlush();

    public override void Complete(Exception? exception = null)
    {
        if (!_completed)
        {
            _completed = true;
            log.End(Sent);
        }

        inner.Complete(exception);
    }
}

using System.Buffers;
using System.IO.Pipelines;

namespace ByteStreams.ByteLogging;

/// <summary>Logs the bytes that each read adds to what the last one left.</summary>
internal sealed class LoggingReader(PipeReader inner, ByteLog log) : PipeReader
{
    private const string Received = "received";

    private ReadOnlySequence<byte> _shown;
    private long _left;
    private bool _ended;

    public override async ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default) =>
        Log(await inner.ReadAsync(cancellationToken).ConfigureAwait(false));

    public override bool TryRead(out ReadResult result)
    {
        bool any = inner.TryRead(out result);
        if (any)
        {
            Log(result);
        }

        return any;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        _left = _shown.Slice(consumed).Length;
        _shown = default;
        inner.AdvanceTo(consumed, examined);
    }

    public override void CancelPendingRead() => inner.CancelPendingRead();

    public override void Complete(Exception? exception = null) => inner.Complete(exception);

    private ReadResult Log(in ReadResult result)
    {
        _shown = result.Buffer;
        if (_shown.Length > _left)
        {
            log.Bytes(Received, _shown.Slice(_left));
            _left = _shown.Length;
        }

        if (result.IsCompleted && !_ended)
        {
            _ended = true;
            log.End(Received);
        }

        return result;
    }
}

using System.Buffers;

namespace Benchmarks.Kestrel;

/// <summary>Sends back every line, its end included.</summary>
internal class LineHandler : EchoHandler
{
    protected override bool TryTake(ref ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> message)
    {
        if (buffer.PositionOf((byte)'\n') is not SequencePosition newline)
        {
            message = default;
            return false;
        }

        SequencePosition end = buffer.GetPosition(1, newline);
        message = buffer.Slice(0, end);
        buffer = buffer.Slice(end);
        return true;
    }
}

using System.Buffers;

namespace Benchmarks.Kestrel;

/// <summary>Sends back every line after its thread was blocked for 100 ms, as a handler does that calls something synchronous.</summary>
internal sealed class BlockingHandler : LineHandler
{
    protected override bool TryTake(ref ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> message)
    {
        if (!base.TryTake(ref buffer, out message))
        {
            return false;
        }

        Thread.Sleep(100);
        return true;
    }
}

using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;

namespace Benchmarks.Kestrel;

/// <summary>The documented loop over a PipeReader: take what is whole, write it back, flush once for what one read brought.</summary>
internal abstract class EchoHandler : ConnectionHandler
{
    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        PipeReader input = connection.Transport.Input;
        PipeWriter output = connection.Transport.Output;
        while (true)
        {
            ReadResult result = await input.ReadAsync();
            ReadOnlySequence<byte> buffer = result.Buffer;
            while (TryTake(ref buffer, out ReadOnlySequence<byte> message))
            {
                foreach (ReadOnlyMemory<byte> segment in message)
                {
                    output.Write(segment.Span);
                }
            }

            bool took = !buffer.Start.Equals(result.Buffer.Start);
            input.AdvanceTo(buffer.Start, buffer.End);
            if (took)
            {
                await output.FlushAsync();
            }

            if (result.IsCompleted)
            {
                return;
            }
        }
    }

    /// <summary>Cuts one whole message off the front of <paramref name="buffer"/>, if there is one.</summary>
    protected abstract bool TryTake(ref ReadOnlySequence<byte> buffer, out ReadOnlySequence<byte> message);
}

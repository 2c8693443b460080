using System.Buffers;
using System.Runtime.CompilerServices;
using ByteStreams.Transport.Interop;

namespace ByteStreams.Transport.Epoll;

/// <summary>A send of several pieces of memory in one system call.</summary>
internal static class GatheredSend
{
    /// <summary>The pieces of one send. The kernel takes 1024; these few are blocks of up to 64 KiB and fill a socket's buffer.</summary>
    private const int MostPieces = 16;

    /// <summary>Sends without a wait: queued bytes, and more after them, as far as the pieces suffice.</summary>
    /// <returns>The count, or minus an errno.</returns>
    public static unsafe int Send(int descriptor, in ReadOnlySequence<byte> queued, ReadOnlySpan<byte> more)
    {
        Pins pins = default;
        LibC.Piece* pieces = stackalloc LibC.Piece[MostPieces + 1];
        int count = 0;
        try
        {
            bool all = true;
            foreach (ReadOnlyMemory<byte> segment in queued)
            {
                if (count == MostPieces)
                {
                    all = false;
                    break;
                }

                if (!segment.IsEmpty)
                {
                    pins[count] = segment.Pin();
                    pieces[count] = new LibC.Piece { Start = (byte*)pins[count].Pointer, Length = (nuint)segment.Length };
                    count++;
                }
            }

            fixed (byte* start = more)
            {
                bool both = all && !more.IsEmpty;
                if (both)
                {
                    pieces[count] = new LibC.Piece { Start = start, Length = (nuint)more.Length };
                }

                return LibC.Send(descriptor, new ReadOnlySpan<LibC.Piece>(pieces, both ? count + 1 : count));
            }
        }
        finally
        {
            for (int i = 0; i < count; i++)
            {
                pins[i].Dispose();
            }
        }
    }

    [InlineArray(MostPieces)]
    private struct Pins
    {
        private MemoryHandle _first;
    }
}

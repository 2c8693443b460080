using System.Text;
using ByteStreams.Middleware.Tests.Streams;

namespace ByteStreams.Fuzz;

/// <summary>
/// The first byte is the framing, the second the size of the chunks, and the rest what the peer sends. With each way to read and each source
/// of the bytes, the reader returns what the model returns, which is a plain string.
/// </summary>
internal static class FramingTarget
{
    private static readonly string[] Sources = ["fed by hand", "pipe", "pipe of small segments", "chunks"];

    public static void Run(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 2)
        {
            return;
        }

        int framing = bytes[0] % FrameModel.Framings.Length;
        int size = 1 + (bytes[1] % 32);
        bool ended = bytes[1] >= 128;
        // Frames are at most 40 bytes here: a longer input repeats itself.
        string wire = Encoding.Latin1.GetString(bytes[2..Math.Min(bytes.Length, 514)]);
        List<string> chunks = [.. wire.Chunk(size).Select(chunk => new string(chunk))];
        List<string> expected = FrameModel.Decode(framing, wire, ended);
        for (int i = 0; i < Sources.Length * 3; i++)
        {
            string source = Sources[i / 3];
            int way = i % 3;
            List<string> actual = FrameModel.Read(ReaderScript.MakeSource(source, 16), framing, chunks, ended, way);
            Demand.That(
                expected.SequenceEqual(actual),
                () => $"Framing {framing} over {source}, way {way}, chunks of {size}:\n{string.Join('\n', actual)}\ninstead of\n{string.Join('\n', expected)}");
        }
    }
}

using System.Buffers.Binary;

namespace Benchmarks.Streams;

/// <summary>What the base library's streams offer for lines, and for bytes.</summary>
internal static class Echo
{
    public static async Task LinesAsync(Stream stream)
    {
        using var reader = new StreamReader(stream, leaveOpen: true);
        await using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n", AutoFlush = true };
        while (await reader.ReadLineAsync() is string line)
        {
            await writer.WriteLineAsync(line);
        }
    }

    public static async Task FramesAsync(Stream stream)
    {
        // Without it each header costs a receive of its own.
        await using var buffered = new BufferedStream(stream);
        byte[] frame = new byte[sizeof(int)];
        while (await buffered.ReadAtLeastAsync(frame.AsMemory(0, sizeof(int)), sizeof(int), throwOnEndOfStream: false) == sizeof(int))
        {
            int size = sizeof(int) + (int)BinaryPrimitives.ReadUInt32BigEndian(frame);
            if (frame.Length < size)
            {
                Array.Resize(ref frame, size);
            }

            await buffered.ReadExactlyAsync(frame.AsMemory(sizeof(int), size - sizeof(int)));
            await stream.WriteAsync(frame.AsMemory(0, size));
        }
    }
}

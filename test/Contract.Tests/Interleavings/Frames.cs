using System.Buffers.Binary;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>
/// What is sent, and how it is known at the other end: each call of Write is one frame, which names its writer and its place among that
/// writer's frames. What arrives is whole frames, none missing and none twice, of which only the last may be cut.
/// </summary>
internal sealed class Frames
{
    private const int HeaderLength = 9;

    private readonly Dictionary<int, uint> _next = [];
    private byte[] _rest = [];

    /// <summary>Bytes of a frame that has begun.</summary>
    public int Unfinished => _rest.Length;

    /// <summary>How many frames of a writer have arrived.</summary>
    public uint Count(int writer) => _next.GetValueOrDefault(writer);

    public static byte[] Make(int writer, uint number, int length)
    {
        byte[] frame = new byte[HeaderLength + length];
        BinaryPrimitives.WriteInt32BigEndian(frame, length);
        frame[4] = (byte)writer;
        BinaryPrimitives.WriteUInt32BigEndian(frame.AsSpan(5), number);
        Fill(frame.AsSpan(HeaderLength), writer, number);
        return frame;
    }

    public void Add(ReadOnlySpan<byte> arrived)
    {
        byte[] all = [.. _rest, .. arrived];
        ReadOnlySpan<byte> left = all;
        while (left.Length >= HeaderLength)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(left);
            int writer = left[4];
            uint number = BinaryPrimitives.ReadUInt32BigEndian(left[5..]);
            if (length is < 0 or > Scenario.LongestFrame || writer >= Scenario.Writers)
            {
                throw new InvalidDataException($"No frame begins with {Convert.ToHexString(left[..HeaderLength])}: something was torn, lost or doubled.");
            }

            if (number != Count(writer))
            {
                throw new InvalidDataException($"Of writer {writer}, frame {number} came where {Count(writer)} was due.");
            }

            if (left.Length < HeaderLength + length)
            {
                break;
            }

            byte[] expected = new byte[length];
            Fill(expected, writer, number);
            if (!left.Slice(HeaderLength, length).SequenceEqual(expected))
            {
                throw new InvalidDataException($"Frame {number} of writer {writer} was torn.");
            }

            _next[writer] = number + 1;
            left = left[(HeaderLength + length)..];
        }

        _rest = left.ToArray();
    }

    private static void Fill(Span<byte> body, int writer, uint number)
    {
        for (int i = 0; i < body.Length; i++)
        {
            body[i] = (byte)((i * 131) + (i >> 8) + (number * 31) + (uint)(writer * 7));
        }
    }
}

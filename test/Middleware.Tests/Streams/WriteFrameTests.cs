using System.Buffers;
using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>The bytes of a frame that is written, and what a framing cannot carry.</summary>
public sealed partial class WriteFrameTests : ReaderTestBase
{
    private readonly Pipe _pipe = new(new PipeOptions(pauseWriterThreshold: 0, useSynchronizationContext: false));
    private readonly ByteStreamWriter _writer;

    public WriteFrameTests() => _writer = new ByteStreamWriter(_pipe.Writer);

    public static TheoryData<string> Samples => [.. FrameSample.All.Select(sample => sample.Name)];

    [Theory, MemberData(nameof(Samples))]
    public void WriteFrame_EachFraming_WritesTheseBytes(string name)
    {
        FrameSample sample = FrameSample.Get(name);
        byte[] frame = Bytes(sample.Frame);

        _writer.WriteFrame(sample.Framing, frame);
        for (int split = 1; split < frame.Length; split++)
        {
            ReadOnlySequence<byte> parts = Parts(frame[..split], frame[split..]);
            _writer.WriteFrame(sample.Framing, parts);
        }

        Assert.Equal(string.Concat(Enumerable.Repeat(sample.Wire, Math.Max(1, frame.Length))), Sent());
    }

    [Fact]
    public void WriteFrame_HeaderKept_LengthIsFilledIn()
    {
        _writer.WriteFrame(Framing.LengthPrefixed(3, offset: 2, strip: 0), Bytes("\xCA\xFE???HELLO"));

        Assert.Equal("\xCA\xFE\0\0\x05HELLO", Sent());
    }

    [Theory]
    [InlineData("delimited", "a;b", "contains the delimiter")]
    [InlineData("delimited", ";", "contains the delimiter")]
    [InlineData("doubled", "xa", "contains the delimiter")]
    [InlineData("doubled", "xaay", "contains the delimiter")]
    [InlineData("repeating", "xab", "contains the delimiter")]
    [InlineData("short", "12345678901", "A frame of 11 bytes is longer than the maximum of 10. Raise maxLength")]
    [InlineData("one byte", "300", "A frame of 300 bytes has a length of 300, which a field of 1 bytes cannot have. Use a larger field.")]
    [InlineData("adjusted", "a", "has a length of -4")]
    [InlineData("kept", "a", "it begins with its header of 2 bytes")]
    [InlineData("fixed", "abc", "A frame of 3 bytes was written; this framing has frames of 5 bytes.")]
    public void WriteFrame_FramingCannotCarryIt_WritesNothing(string kind, string content, string message)
    {
        byte[] frame = content == "300" ? new byte[300] : Bytes(content);
        Framing framing = kind switch
        {
            "delimited" => Framing.Delimited(";"u8),
            "doubled" => Framing.Delimited("aa"u8),
            "repeating" => Framing.Delimited("abab"u8),
            "short" => Framing.LengthPrefixed(4, maxLength: 10),
            "one byte" => Framing.LengthPrefixed(1),
            "adjusted" => Framing.LengthPrefixed(1, adjustment: 5),
            "kept" => Framing.LengthPrefixed(2, strip: 0),
            _ => Framing.Fixed(5),
        };

        ArgumentException error = Assert.Throws<ArgumentException>("frame", () => _writer.WriteFrame(framing, frame));
        Assert.Throws<ArgumentException>("frame", () => _writer.WriteFrame(framing, Parts(frame[..1], frame[1..])));

        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Equal("", Sent());
    }

    [Fact]
    public void Framing_ParametersOutOfRange_AreReported()
    {
        Assert.Throws<ArgumentException>("delimiter", () => Framing.Delimited(default));
        Assert.Throws<ArgumentOutOfRangeException>("maxLength", () => Framing.Varint(0));
        Assert.Throws<ArgumentOutOfRangeException>("maxLength", () => Framing.Netstring(int.MaxValue));
        Assert.Throws<ArgumentOutOfRangeException>("size", () => Framing.LengthPrefixed(5));
        Assert.Throws<ArgumentOutOfRangeException>("endianness", () => Framing.LengthPrefixed(4, (Endianness)2));
        Assert.Throws<ArgumentOutOfRangeException>("offset", () => Framing.LengthPrefixed(4, offset: -1));
        Assert.Throws<ArgumentOutOfRangeException>("offset", () => Framing.LengthPrefixed(4, offset: 61));
        Assert.Throws<ArgumentOutOfRangeException>("strip", () => Framing.LengthPrefixed(4, strip: 3));
        Assert.Throws<ArgumentOutOfRangeException>("strip", () => Framing.LengthPrefixed(4, strip: 65));
        Assert.Throws<ArgumentOutOfRangeException>("maxHeaderLength", () => Framing.ContentLength(maxHeaderLength: 31));
    }

    [Fact]
    public async Task WriteMessage_Json_IsReadBack()
    {
        Framing framing = Framing.ContentLength();
        _writer.WriteMessage(framing, new Point(1, 2), Json.Default.Point);
        _writer.WriteMessage(framing, new Point(-3, 4), Json.Default.Point);
        await _writer.DrainAsync(Test);
        await _pipe.Writer.CompleteAsync();
        var reader = new ByteStreamReader(_pipe.Reader);

        Assert.Equal(new Point(1, 2), await reader.ReadMessageAsync(framing, Json.Default.Point, Test));
        var rest = new List<Point?>();
        await foreach (Point? point in reader.ReadMessagesAsync(framing, Json.Default.Point, Test))
        {
            rest.Add(point);
        }

        Assert.Equal([new Point(-3, 4)], rest);
        IncompleteReadException end = await Incomplete(reader.ReadMessageAsync(framing, Json.Default.Point, Test));
        Assert.Empty(end.Partial);
    }

    [Fact]
    public void WriteMessage_Json_IsTheseBytes()
    {
        _writer.WriteMessage(Framing.Netstring(), new Point(1, 2), Json.Default.Point);
        _writer.WriteMessage(Framing.Netstring(), new Point(1, 2), Indented.Default.Point);
        _writer.WriteMessage<Point?>(Framing.Netstring(), null, Json.Default.Point!);

        Assert.Equal("13:{\"X\":1,\"Y\":2},22:{\n  \"X\": 1,\n  \"Y\": 2\n},4:null,", Sent().Replace("\r", "", StringComparison.Ordinal));
    }

    [Fact]
    public void WriteMessage_ManyMessages_AllocatesNothingForEach()
    {
        Framing framing = Framing.LengthPrefixed(4);
        var point = new Point(12, 34);
        Write(2_000);

        long before = GC.GetAllocatedBytesForCurrentThread();
        Write(10_000);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        // The smallest object is 24 bytes.
        Assert.InRange(allocated, 0, 10_000);

        void Write(int count)
        {
            for (int i = 0; i < count; i++)
            {
                _writer.WriteMessage(framing, point, Json.Default.Point);
                _writer.WriteMessage(framing, i, static (number, buffer) =>
                {
                    buffer.GetSpan(1)[0] = (byte)number;
                    buffer.Advance(1);
                });
                if (i % 50 == 49)
                {
                    ValueTask drained = _writer.DrainAsync(Test);
                    Assert.True(drained.IsCompletedSuccessfully);
                    drained.GetAwaiter().GetResult();
                    Assert.True(_pipe.Reader.TryRead(out ReadResult sent));
                    _pipe.Reader.AdvanceTo(sent.Buffer.End);
                }
            }
        }
    }

    [Fact]
    public void WriteMessage_TooLongOrTheSerializerFails_WritesNothing()
    {
        Framing framing = Framing.Varint(10);

        Assert.Throws<ArgumentException>("frame", () => _writer.WriteMessage(framing, new Point(1000, 2000), Json.Default.Point));
        Assert.Throws<ArgumentException>("frame", () => _writer.WriteMessage(framing, 5_000, static (count, buffer) => buffer.Write(new byte[count])));
        Assert.Throws<FormatException>(() => _writer.WriteMessage<int>(framing, 0, static (_, buffer) =>
        {
            buffer.Write("abc"u8);
            throw new FormatException();
        }));
        _writer.WriteMessage(framing, 3, static (count, buffer) => buffer.Write("xyz"u8[..count]));

        Assert.Equal("\x03xyz", Sent());
    }

    [Fact]
    public async Task ReadMessage_ByACallback_IsGivenTheFrame()
    {
        var reader = new ByteStreamReader();
        reader.FeedData("\0\u0003abc\0\u0001d"u8);
        Framing framing = Framing.LengthPrefixed(2);

        Assert.Equal(3, await reader.ReadMessageAsync(framing, static frame => (int)frame.Length, Test));
        await Assert.ThrowsAsync<FormatException>(() => reader.ReadMessageAsync<int>(framing, static _ => throw new FormatException(), Test).AsTask());
        Assert.False(reader.HasBuffered);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"X\":1,")]
    [InlineData("{\"X\":\"a\"}")]
    [InlineData("{\"X\":1,\"Y\":2}{}")]
    [InlineData("{\"X\":1,\"Y\":2},")]
    [InlineData("[1]")]
    public async Task ReadMessage_InvalidJson_ConsumesTheFrameAndFails(string json)
    {
        var reader = new ByteStreamReader();
        Framing framing = Framing.Netstring();
        reader.FeedData(Bytes($"{json.Length}:{json},{json.Length}:{json},14:{{\"X\":1,\"Y\":2}} ,"));

        InvalidFrameException error = await Fails<InvalidFrameException, Point?>(reader.ReadMessageAsync(framing, Json.Default.Point, Test));
        Assert.IsAssignableFrom<JsonException>(error.InnerException);
        Assert.Throws<InvalidFrameException>(() => reader.TryReadMessage(framing, Json.Default.Point, out _));
        Assert.True(reader.TryReadMessage(framing, Json.Default.Point, out Point? point));
        Assert.Equal(new Point(1, 2), point);
    }

    private static ReadOnlySequence<byte> Parts(byte[] first, byte[] second)
    {
        var start = new Part(first, 0);
        return new ReadOnlySequence<byte>(start, 0, start.Append(second), second.Length);
    }

    private string Sent()
    {
        _writer.DrainAsync(Test).AsTask().GetAwaiter().GetResult();
        if (!_pipe.Reader.TryRead(out ReadResult sent))
        {
            return "";
        }

        string text = Text(sent.Buffer.ToArray());
        _pipe.Reader.AdvanceTo(sent.Buffer.End);
        return text;
    }

    internal sealed record Point(int X, int Y);

    [JsonSerializable(typeof(Point))]
    internal sealed partial class Json : JsonSerializerContext;

    [JsonSourceGenerationOptions(WriteIndented = true)]
    [JsonSerializable(typeof(Point))]
    internal sealed partial class Indented : JsonSerializerContext;

    private sealed class Part : ReadOnlySequenceSegment<byte>
    {
        public Part(byte[] bytes, long index) => (Memory, RunningIndex) = (bytes, index);

        public Part Append(byte[] bytes)
        {
            var next = new Part(bytes, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}

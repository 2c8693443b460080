using System.Buffers;

namespace ByteStreams.Middleware.Tests.Streams;

/// <content>Frames: each framing, split at every byte, and what is no frame.</content>
public abstract partial class ReaderContract
{
    public static TheoryData<string> Samples => [.. FrameSample.All.Select(sample => sample.Name)];

    [Theory, MemberData(nameof(Samples))]
    [Trait("Contract", "R22")]
    public async Task ReadFrame_BytesSplitAnywhere_ReturnsTheFrameAndLeavesTheRest(string name)
    {
        FrameSample sample = FrameSample.Get(name);
        for (int split = 0; split < sample.Wire.Length; split++)
        {
            ReaderSource source = Make();
            source.Feed(sample.Wire[..split]);
            ValueTask<byte[]?> read = source.Reader.ReadFrameAsync(sample.Framing, Test);
            Assert.False(read.IsCompleted, $"{split} bytes are no frame.");
            source.Feed(sample.Wire[split..] + sample.Wire);

            Assert.Equal(sample.Frame, await GetFrame(read));
            ReadOnlySequence<byte>? second = await Get(source.Reader.BorrowFrameAsync(sample.Framing, Test));
            Assert.Equal(sample.Frame, Text(second!.Value.ToArray()));
            source.Finish();
            Assert.Null(await source.Reader.ReadFrameAsync(sample.Framing, Test).AsTask().WaitAsync(Soon, Test));
            Assert.Null(await Get(source.Reader.BorrowFrameAsync(sample.Framing, Test)));
        }
    }

    [Theory, MemberData(nameof(Samples))]
    [Trait("Contract", "R22")]
    public async Task TryReadFrame_BytesOneByOne_ReturnsTheFrameWithItsLastByte(string name)
    {
        FrameSample sample = FrameSample.Get(name);
        ReaderSource source = Make();
        for (int i = 0; i < 2 * sample.Wire.Length; i++)
        {
            int at = i % sample.Wire.Length;
            source.Feed(sample.Wire[at..(at + 1)]);
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));

            bool whole = source.Reader.TryReadFrame(sample.Framing, out ReadOnlySequence<byte> frame);

            Assert.Equal(at == sample.Wire.Length - 1, whole);
            Assert.Equal(whole ? sample.Frame : "", Text(frame.ToArray()));
        }

        source.Finish();
        Assert.False(await Get(source.Reader.WaitToReadAsync(Test)));
        Assert.False(source.Reader.TryReadFrame(sample.Framing, out _));
    }

    [Theory, MemberData(nameof(Samples))]
    [Trait("Contract", "R22")]
    public async Task ReadFrame_EndWithinAFrame_IsIncompleteWithTheBytesBeforeTheEnd(string name)
    {
        FrameSample sample = FrameSample.Get(name);
        for (int length = 1; length < sample.Wire.Length; length++)
        {
            ReaderSource source = Make();
            source.Feed(sample.Wire[..length]);
            source.Finish();
            IncompleteReadException error = await Incomplete(source.Reader.ReadFrameAsync(sample.Framing, Test));
            Assert.Equal(sample.Wire[..length], Text(error.Partial));

            source = Make();
            source.Feed(sample.Wire[..length]);
            source.Finish();
            Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
            error = Assert.Throws<IncompleteReadException>(() => source.Reader.TryReadFrame(sample.Framing, out _));
            Assert.Equal(sample.Wire[..length], Text(error.Partial));
            Assert.True(source.Reader.AtEof);
        }
    }

    [Fact]
    [Trait("Contract", "R22")]
    public async Task ReadFrames_SeveralFrames_YieldsEachAndStopsAtTheEnd()
    {
        Framing framing = Framing.Netstring();
        ReaderSource source = Fed("3:abc,0:,", "2:de,");
        source.Finish();
        var frames = new List<string>();

        await foreach (byte[] frame in source.Reader.ReadFramesAsync(framing, Test))
        {
            frames.Add(Text(frame));
        }

        Assert.Equal(["abc", "", "de"], frames);
    }

    [Fact]
    [Trait("Contract", "R18")]
    public async Task ReadFrame_Cancelled_LosesNoByte()
    {
        Framing framing = Framing.LengthPrefixed(2);
        ReaderSource source = Fed("\0\x03", "a");
        using var cancel = new CancellationTokenSource();
        ValueTask<byte[]?> read = source.Reader.ReadFrameAsync(framing, cancel.Token);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.AsTask());
        source.Feed("bc");
        Assert.Equal("abc", await GetFrame(source.Reader.ReadFrameAsync(framing, Test)));
    }

    [Fact]
    [Trait("Contract", "R22")]
    public async Task TryReadFrame_AnotherFramingOrAnotherReadBetween_MeasuresAnew()
    {
        Framing netstring = Framing.Netstring();
        Framing delimited = Framing.Delimited(";"u8);
        ReaderSource source = Fed("20:ab;3:xyz,c");
        Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));

        Assert.False(source.Reader.TryReadFrame(netstring, out _));
        Assert.True(source.Reader.TryReadFrame(delimited, out ReadOnlySequence<byte> frame));
        Assert.Equal("20:ab", Text(frame.ToArray()));
        Assert.True(source.Reader.TryReadFrame(netstring, out frame));
        Assert.Equal("xyz", Text(frame.ToArray()));
        Assert.False(source.Reader.TryReadFrame(delimited, out _));
        source.Feed(";d");
        Assert.Equal("c", await Get(source.Reader.ReadExactlyAsync(1, Test)));
        Assert.Equal("", await GetFrame(source.Reader.ReadFrameAsync(delimited, Test)));
    }

    /// <summary>The maximum is 100 bytes in all of them.</summary>
    [Theory]
    [InlineData("delimited", "", 101, "at least 101 bytes is longer than the maximum of 100")]
    [InlineData("length 1", "\x65", 0, "a length field of 101 is longer than the maximum of 100")]
    [InlineData("length 2", "\xFF\xFF", 0, "65535")]
    [InlineData("length 4", "\x7F\xFF\xFF\xFF", 0, "2147483647")]
    [InlineData("length 4", "\x80\0\0\0", 0, "2147483648")]
    [InlineData("length 4", "\xFF\xFF\xFF\xFF", 0, "4294967295")]
    [InlineData("length 4 little", "\0\0\0\x80", 0, "2147483648")]
    [InlineData("length 8", "\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 0, "9223372036854775807")]
    [InlineData("length 8", "\x80\0\0\0\0\0\0\0", 0, "9223372036854775808")]
    [InlineData("length 8", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 0, "18446744073709551615")]
    [InlineData("length adjusted up", "\x7F\xFF\xFF\xFF", 0, "2147483647")]
    [InlineData("varint", "\x65", 0, "A frame of 101 bytes")]
    [InlineData("varint", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 0, "9223372036854775808")]
    [InlineData("varint", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 0, "18446744073709551615")]
    [InlineData("netstring", "101", 0, "at least 101 bytes")]
    [InlineData("netstring", "99999999999999999999", 0, "at least 999 bytes")]
    [InlineData("content length", "Content-Length: 101\r\n\r\n", 0, "at least 101 bytes")]
    [InlineData("content length", "Content-Length: 18446744073709551617\r\n\r\n", 0, "at least 184 bytes")]
    [InlineData("content length", "X: ", 61, "Headers of more than 64 bytes")]
    public async Task ReadFrame_HostileLength_FailsAtOnceAndTheBufferIsIntact(string kind, string wire, int more, string message)
    {
        string bytes = wire + new string('x', more);
        Framing framing = Limited(kind);
        foreach (int[] chunks in new int[][] { [bytes.Length], [1, bytes.Length - 1] })
        {
            ReaderSource source = Make();
            int at = 0;
            foreach (int chunk in chunks)
            {
                source.Feed(bytes[at..(at + chunk)]);
                at += chunk;
            }

            long before = GC.GetAllocatedBytesForCurrentThread();
            LimitOverrunException error = await Overruns(source.Reader.ReadFrameAsync(framing, Test));
            Assert.Contains(message, error.Message, StringComparison.Ordinal);
            Assert.Throws<LimitOverrunException>(() => source.Reader.TryReadFrame(framing, out _));
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 200_000);
            Assert.Equal(bytes, await Get(source.Reader.ReadAsync(9999, Test)));
        }
    }

    [Theory]
    [InlineData("length of the whole", "\0\x01", "a frame of 1 bytes, which is shorter than its header of 2")]
    [InlineData("length stripped", "\0\u0001ab", "a frame of 3 bytes, which is shorter than its header of 4")]
    [InlineData("varint", "\x80\0", "A varint length of 0 has 2 bytes, more than it needs.")]
    [InlineData("varint", "\x85\x80\0", "A varint length of 5 has 3 bytes")]
    [InlineData("varint", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", "more than 64 bits")]
    [InlineData("varint", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", "more than 64 bits")]
    [InlineData("varint of any length", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", "more than 64 bits")]
    [InlineData("netstring", ":", "0x3A where a digit belongs")]
    [InlineData("netstring", "-1:", "0x2D where a digit belongs")]
    [InlineData("netstring", "00:,", "a leading zero")]
    [InlineData("netstring", "01:a,", "a leading zero")]
    [InlineData("netstring", "1 :a,", "0x20 where a digit or a colon belongs")]
    [InlineData("netstring", "1:ab", "0x62 where a comma belongs")]
    [InlineData("content length", "\r\n\r\n", "not a name, a colon and a value")]
    [InlineData("content length", "A: 1\r\n\r\n", "no Content-Length")]
    [InlineData("content length", "Content-Length: 1\r\ncontent-length: 1\r\n\r\n", "more than one Content-Length")]
    [InlineData("content length", "Content-Length: 1, 1\r\n\r\n", "decimal digits")]
    [InlineData("content length", "Content-Length: -1\r\n\r\n", "decimal digits")]
    [InlineData("content length", "Content-Length: +1\r\n\r\n", "decimal digits")]
    [InlineData("content length", "Content-Length:\r\n\r\n", "decimal digits")]
    [InlineData("content length", "Content-Length: 0x1\r\n\r\n", "decimal digits")]
    [InlineData("content length", "Content-Length : 1\r\n\r\n", "not a name, a colon and a value")]
    [InlineData("content length", "A: 1\n Content-Length: 1\r\n\r\n", "not a name, a colon and a value")]
    [InlineData("content length", "A: b\r\n c\r\n\r\n", "not a name, a colon and a value")]
    [InlineData("content length", "GET / HTTP/1.1\r\n\r\n", "not a name, a colon and a value")]
    public async Task ReadFrame_NoFrame_IsInvalidAndTheBufferIsIntact(string kind, string wire, string message)
    {
        Framing framing = Limited(kind);
        foreach (string[] chunks in new string[][] { [wire], [.. wire.Select(one => one.ToString())] })
        {
            ReaderSource source = Fed(chunks);

            InvalidFrameException error = await Fails<InvalidFrameException, byte[]?>(source.Reader.ReadFrameAsync(framing, Test));

            Assert.Contains(message, error.Message, StringComparison.Ordinal);
            Assert.Throws<InvalidFrameException>(() => source.Reader.TryReadFrame(framing, out _));
            Assert.Equal(wire, await Get(source.Reader.ReadAsync(9999, Test)));
        }
    }

    [Theory]
    [InlineData("varint of any length", "\x83\x80\0abc", "abc")]
    [InlineData("varint of any length", "\x83\x80\x80\x80\x80\x80\x80\x80\x80\0abc", "abc")]
    [InlineData("content length", "Content-Type: x; charset=utf-8\r\ncONTENT-lENGTH:\t003 \r\n\r\nabc", "abc")]
    [InlineData("delimited", "abc;", "abc")]
    public async Task ReadFrame_OtherEncodingsOfALength_AreRead(string kind, string wire, string frame)
    {
        ReaderSource source = Fed([.. wire.Select(one => one.ToString())]);

        Assert.Equal(frame, await GetFrame(source.Reader.ReadFrameAsync(Limited(kind), Test)));
    }

    [Fact]
    public async Task ReadFrame_LongestFrame_IsReadWhateverTheReadersLimit()
    {
        string content = new('x', 100);
        foreach ((string kind, string wire) in new[]
        {
            ("delimited", content + ";"),
            ("length 1", "\x64" + content),
            ("netstring", "100:" + content + ","),
            ("varint", "\x64" + content),
            ("content length", "Content-Length: 100\r\n\r\n" + content),
        })
        {
            ReaderSource source = Make(limit: 10);
            source.Feed(wire);
            Assert.Equal(content, await GetFrame(source.Reader.ReadFrameAsync(Limited(kind), Test)));
        }
    }

    private static async Task<string> GetFrame(ValueTask<byte[]?> read) =>
        Text(await read.AsTask().WaitAsync(Soon) ?? throw new EndOfStreamException("The stream ended before a frame."));

    private static Framing Limited(string kind) => kind switch
    {
        "delimited" => Framing.Delimited(";"u8, 100),
        "length 1" => Framing.LengthPrefixed(1, maxLength: 100),
        "length 2" => Framing.LengthPrefixed(2, maxLength: 100),
        "length 4" => Framing.LengthPrefixed(4, maxLength: 100),
        "length 4 little" => Framing.LengthPrefixed(4, Endianness.LittleEndian, maxLength: 100),
        "length 8" => Framing.LengthPrefixed(8, maxLength: 100),
        "length adjusted up" => Framing.LengthPrefixed(4, adjustment: int.MaxValue, maxLength: 100),
        "length of the whole" => Framing.LengthPrefixed(2, adjustment: -2, maxLength: 100),
        "length stripped" => Framing.LengthPrefixed(2, strip: 4, maxLength: 100),
        "varint" => Framing.Varint(100),
        "varint of any length" => Framing.Varint(100, allowNonMinimal: true),
        "netstring" => Framing.Netstring(100),
        _ => Framing.ContentLength(100, maxHeaderLength: 64),
    };
}

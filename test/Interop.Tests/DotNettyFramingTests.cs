using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using DotNetty.Buffers;
using DotNetty.Codecs;
using DotNetty.Transport.Channels;
using DotNetty.Transport.Channels.Embedded;

namespace ByteStreams.Interop.Tests;

/// <summary>DotNetty's codecs in this process: what they encode is read, and what is written they decode.</summary>
[Trait("Peer", "DotNetty")]
public class DotNettyFramingTests
{
    private const int Longest = 70_000;

    private static readonly int[] Sizes = [0, 1, 127, 128, 300, 16384, 65000];

    [Theory]
    [InlineData(2, false, 0, false)]
    [InlineData(4, false, 0, false)]
    [InlineData(3, false, 0, true)]
    [InlineData(4, true, 5, false)]
    [InlineData(8, true, 0, true)]
    public async Task LengthPrefixed_DotNettyPrependsAndDecodes_FramesAreTheSame(int size, bool isLittle, int adjustment, bool countsItself)
    {
        // The prepender adds to the length what the decoder subtracts.
        int toAdd = -adjustment - (countsItself ? size : 0);
        Framing framing = Framing.LengthPrefixed(size, isLittle ? Endianness.LittleEndian : Endianness.BigEndian, adjustment: toAdd, maxLength: Longest);
        ByteOrder order = isLittle ? ByteOrder.LittleEndian : ByteOrder.BigEndian;

        await CompareAsync(
            framing,
            new LengthFieldPrepender(order, size, adjustment, countsItself),
            new LengthFieldBasedFrameDecoder(order, Longest + 8, 0, size, toAdd, size, true));
    }

    [Fact]
    public async Task Delimited_DotNettyDecodes_FramesAreTheSame() => await CompareAsync(
        Framing.Delimited("\r\n"u8, Longest), null, new DelimiterBasedFrameDecoder(Longest, Unpooled.CopiedBuffer("\r\n"u8.ToArray())));

    private static async Task CompareAsync(Framing framing, IChannelHandler? encoder, IChannelHandler decoder)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 0, useSynchronizationContext: false));
        var writer = new ByteStreamWriter(pipe.Writer);
        byte[][] frames = [.. Sizes.Select(size => Encoding.ASCII.GetBytes(new string('x', size)))];
        foreach (byte[] frame in frames)
        {
            writer.WriteFrame(framing, frame);
        }

        writer.Close();
        ReadResult all = await pipe.Reader.ReadAsync(TestContext.Current.CancellationToken);
        byte[] written = all.Buffer.ToArray();

        var decoding = new EmbeddedChannel(decoder);
        decoding.WriteInbound(Unpooled.WrappedBuffer(written));
        Assert.Equal(frames, frames.Select(_ => Bytes(decoding.ReadInbound<IByteBuffer>())));

        var encoding = encoder is null ? null : new EmbeddedChannel(encoder);
        var reader = new ByteStreamReader();
        foreach (byte[] frame in frames)
        {
            if (encoding is null)
            {
                reader.FeedData([.. frame, .. "\r\n"u8]);
                continue;
            }

            encoding.WriteOutbound(Unpooled.WrappedBuffer(frame));
            while (encoding.ReadOutbound<IByteBuffer>() is IByteBuffer part)
            {
                reader.FeedData(Bytes(part));
            }
        }

        reader.FeedEof();
        var read = new List<byte[]>();
        await foreach (byte[] frame in reader.ReadFramesAsync(framing, TestContext.Current.CancellationToken))
        {
            read.Add(frame);
        }

        Assert.Equal(frames, read);
    }

    private static byte[] Bytes(IByteBuffer buffer)
    {
        byte[] bytes = new byte[buffer.ReadableBytes];
        buffer.ReadBytes(bytes);
        return bytes;
    }
}

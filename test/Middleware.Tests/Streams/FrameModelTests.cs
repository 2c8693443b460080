using System.Buffers;
using System.IO.Pipelines;
using CsCheck;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>Frames that the writer wrote, and bytes that are nearly frames, in any chunks, against a model over a plain string.</summary>
public class FrameModelTests : ReaderTestBase
{
    private static readonly Gen<string> GenText = Gen.OneOf(
        Gen.Char["aab;:,0123\r\n"].Array[0, 45].Select(chars => new string(chars)),
        Gen.Char['\0', '\xFF'].Array[0, 45].Select(chars => new string(chars)),
        Gen.Const("Content-Length: 3\r\n\r\nabc"), Gen.Const("content-length: 1\r\nContent-Length: 1\r\n\r\na"), Gen.Const("3:abc,"));

    // What is written as a frame, or as it is.
    private static readonly Gen<(bool IsFrame, string Text)> GenPart = Gen.Select(Gen.Frequency((4, Gen.Const(true)), (1, Gen.Const(false))), GenText);

    [Theory]
    [InlineData("fed by hand")]
    [InlineData("pipe")]
    [InlineData("pipe of small segments")]
    [InlineData("chunks")]
    [Trait("Contract", "R22")]
    public void ReadFrame_AnyFramesInAnyChunks_AnswersAsTheModel(string kind) =>
        Gen.Select(Gen.Int[0, FrameModel.Framings.Length - 1], GenPart.Array[0, 8], Gen.Int[1, 30].Array[1, 10], Gen.Bool, Gen.Int[0, 2]).Sample(
            (framing, parts, sizes, ended, way) =>
            {
                string wire = string.Concat(parts.Select(part => part.IsFrame ? Write(framing, part.Text) : part.Text));
                var chunks = new List<string>();
                for (int at = 0; at < wire.Length;)
                {
                    int size = Math.Min(sizes[chunks.Count % sizes.Length], wire.Length - at);
                    chunks.Add(wire.Substring(at, size));
                    at += size;
                }

                List<string> expected = FrameModel.Decode(framing, wire, ended);
                List<string> actual = FrameModel.Read(ReaderScript.MakeSource(kind, 16), framing, chunks, ended, way);

                Assert.Equal(expected, actual);
            },
            iter: 5_000,
            threads: 1);

    [Fact]
    [Trait("Contract", "W15")]
    public void WriteFrame_AnyContent_IsReadBackOrRefused() =>
        Gen.Select(Gen.Int[0, FrameModel.Framings.Length - 1], GenText).Sample(
            (framing, text) =>
            {
                string wire = Write(framing, text);
                if (wire.Length > 0)
                {
                    string frame = FrameModel.Decode(framing, wire, ended: true) is [string one, "end"] ? one : "not one frame";
                    // The header that is kept has its length filled in.
                    Assert.Equal("frame " + (framing == 4 ? wire : text), frame);
                }
            },
            iter: 10_000,
            threads: 1);

    /// <summary>The bytes of a frame; none where the framing cannot carry it.</summary>
    private static string Write(int framing, string text)
    {
        var pipe = new Pipe(new PipeOptions(useSynchronizationContext: false));
        var writer = new ByteStreamWriter(pipe.Writer);
        try
        {
            writer.WriteFrame(FrameModel.Framings[framing], Bytes(text));
        }
        catch (ArgumentException)
        {
            return "";
        }

        writer.Close();
        return pipe.Reader.TryRead(out ReadResult sent) ? Text(sent.Buffer.ToArray()) : "";
    }
}

namespace ByteStreams.Interop.Tests;

/// <summary>Frames of other libraries, in processes of their own: each sends frames in its format, and checks the echo.</summary>
public class FramingPeersTests
{
    private const string CargoRegistry = "/usr/share/cargo/registry";

    [Theory]
    [InlineData(">I")]
    [InlineData("<I")]
    [InlineData(">H")]
    [InlineData("<Q")]
    [Trait("Peer", "python3")]
    [Trait("Contract", "R22")]
    [Trait("Contract", "W15")]
    public async Task LengthPrefixed_PythonPacksWithStruct_EachFrameComesBack(string layout)
    {
        int size = layout[1] switch { 'H' => 2, 'I' => 4, _ => 8 };
        await using var place = new Place();
        string address = await place.ServeAsync("tcp", Echo(Framing.LengthPrefixed(size, layout[0] == '<' ? Endianness.LittleEndian : Endianness.BigEndian)));

        await using Peer python = Peer.StartPython("framing_client.py", address, layout);

        Assert.Equal("7 frames, then the end\n", await python.FinishAsync());
    }

    [Fact]
    [Trait("Peer", "go")]
    [Trait("Contract", "R22")]
    [Trait("Contract", "W15")]
    public async Task Varint_GoSendsUvarints_EachFrameComesBack()
    {
        await using var place = new Place();
        await place.ServeAsync("tcp", Echo(Framing.Varint()));

        await using Peer go = Peer.Start("go", "run", Path.Combine(AppContext.BaseDirectory, "Peers", "uvarint.go"), $"{place.Port}");

        Assert.Equal("7 frames, then 0 bytes to the end\n", await go.FinishAsync());
    }

    [Fact]
    [Trait("Peer", "tokio")]
    [Trait("Contract", "R22")]
    [Trait("Contract", "W15")]
    public async Task LengthPrefixed_TokioUsesLengthDelimitedCodec_EachFrameComesBack()
    {
        Assert.SkipUnless(
            Directory.Exists(CargoRegistry) && Directory.EnumerateDirectories(CargoRegistry, "tokio-util-0.7*").Any(),
            "THE PEER IS MISSING: librust-tokio-util-dev is not installed, so nothing was tested against LengthDelimitedCodec.");
        string program = Path.Combine(AppContext.BaseDirectory, "Peers", "tokio");
        await using (Peer build = Peer.Start(
            "cargo", "build", "--quiet", "--offline", "--manifest-path", Path.Combine(program, "Cargo.toml"), "--target-dir", Path.Combine(program, "target"),
            "--config", "source.crates-io.replace-with=\"debian\"", "--config", $"source.debian.directory=\"{CargoRegistry}\""))
        {
            await build.FinishAsync();
        }

        foreach ((string kind, Framing framing) in new[]
        {
            ("big", Framing.LengthPrefixed(4)),
            ("little", Framing.LengthPrefixed(2, Endianness.LittleEndian)),
            ("whole", Framing.LengthPrefixed(3, adjustment: -3)),
        })
        {
            await using var place = new Place();
            await place.ServeAsync("tcp", Echo(framing));

            await using Peer tokio = Peer.Start(Path.Combine(program, "target", "debug", "length_delimited"), $"{place.Port}", kind);

            Assert.Equal("7 frames\n", await tokio.FinishAsync());
        }
    }

    private static ByteStreamDelegate Echo(Framing framing) => async (reader, writer, stopping) =>
    {
        while (await reader.ReadFrameAsync(framing, stopping) is byte[] frame)
        {
            writer.WriteFrame(framing, frame);
            await writer.DrainAsync(stopping);
        }
    };
}

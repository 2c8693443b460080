using System.Globalization;
using System.Text;

namespace ByteStreams.Interop.Tests;

/// <summary>socat at the other end: every byte both ways, behind a half-close too.</summary>
[Trait("Peer", "socat")]
public class SocatTests
{
    /// <summary>After one direction has ended, socat waits so many seconds for the other; by default half a second.</summary>
    private static readonly string[] Patient = ["-t", "30"];

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("abstract")]
    [Trait("Contract", "W3")]
    [Trait("Fault", "F14")]
    public async Task Echo_SocatSends16MiBAndHalfCloses_EveryByteComesBack(string kind)
    {
        await using var place = new Place();
        await place.ServeAsync(kind, Handlers.EchoBytes);

        Assert.Equal(Bytes16MiB, await ExchangeAsync(place, kind));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("abstract")]
    [Trait("Contract", "W13")]
    [Trait("Contract", "R4")]
    [Trait("Fault", "F14")]
    public async Task Write_SocatHasHalfClosed_TheWholeAnswerArrives(string kind)
    {
        await using var place = new Place();
        await place.ServeAsync(kind, Handlers.AnswerBehindTheEnd);

        Assert.Equal(Bytes16MiB, await ExchangeAsync(place, kind));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [InlineData("abstract")]
    [Trait("Contract", "W3")]
    [Trait("Fault", "F14")]
    public async Task WriteEof_SocatServesCat_EveryByteComesBackAndTheEnd(string kind)
    {
        await using var place = new Place();
        await using Peer socat = Peer.Start("socat", [.. Patient, "-d", "-d", Listen(place, kind), "EXEC:cat"]);
        await using ByteStreamConnection connection = await place.ConnectAsync(kind, await PortAsync(socat));

        Assert.Equal(Bytes16MiB, await ExchangeAsync(connection, place.Late));
    }

    [Fact]
    [Trait("Contract", "W3")]
    [Trait("Fault", "F14")]
    public async Task WriteEof_SocatRelaysFromTcpToUnix_TheHalfCloseCrossesIt()
    {
        await using var place = new Place();
        await place.ServeAsync("unix", Handlers.AnswerBehindTheEnd);
        await using Peer socat = Peer.Start("socat", [.. Patient, "-d", "-d", Listen(place, "tcp"), Connect(place, "unix")]);
        await using ByteStreamConnection connection = await place.ConnectAsync("tcp", await PortAsync(socat));

        Assert.Equal(Bytes16MiB, await ExchangeAsync(connection, place.Late));
    }

    [Theory]
    [InlineData("unix")]
    [InlineData("abstract")]
    [Trait("Contract", "W10")]
    public async Task PeerCredentials_SocatConnects_NameItsProcess(string kind)
    {
        await using var place = new Place();
        await place.ServeAsync(kind, (_, writer, _) =>
        {
            writer.Write(string.Create(CultureInfo.InvariantCulture, $"{writer.PeerCredentials!.Value.ProcessId}"));
            return Task.CompletedTask;
        });

        await using Peer socat = Peer.Start("socat", "-u", Connect(place, kind), "-");

        Assert.Equal(socat.ProcessId.ToString(CultureInfo.InvariantCulture), Encoding.ASCII.GetString(await socat.ReadToEndAsync()));
    }

    /// <summary>16 MiB in which every stretch is different, so that a lost, doubled or moved block shows.</summary>
    private static byte[] Bytes16MiB { get; } = MakeBytes();

    /// <summary>Sends everything through a socat that connects to the server of this place, half-closes, and answers what came back.</summary>
    private static async Task<byte[]> ExchangeAsync(Place place, string kind)
    {
        await using Peer socat = Peer.Start("socat", [.. Patient, "-", Connect(place, kind)]);
        Task sending = socat.SendAsync(Bytes16MiB);
        byte[] received = await socat.ReadToEndAsync();
        await sending.WaitAsync(place.Late);
        await socat.FinishAsync();
        return received;
    }

    private static async Task<byte[]> ExchangeAsync(ByteStreamConnection connection, CancellationToken late)
    {
        var (reader, writer) = connection;
        Task<byte[]> receiving = reader.ReadAsync(cancellationToken: late).AsTask();
        foreach (byte[] chunk in Bytes16MiB.Chunk(100_000))
        {
            writer.Write(chunk);
            await writer.DrainAsync(late);
        }

        writer.WriteEof();
        return await receiving;
    }

    private static string Connect(Place place, string kind) => kind switch
    {
        "unix" => $"UNIX-CONNECT:{place.Path}",
        "abstract" => $"ABSTRACT-CONNECT:{place.Abstract[1..]}",
        _ => $"TCP:127.0.0.1:{place.Port}",
    };

    private static string Listen(Place place, string kind) => kind switch
    {
        "unix" => $"UNIX-LISTEN:{place.Path}",
        "abstract" => $"ABSTRACT-LISTEN:{place.Abstract[1..]}",
        _ => "TCP-LISTEN:0,bind=127.0.0.1",
    };

    /// <summary>Waits until socat listens, and answers its port.</summary>
    private static async Task<int> PortAsync(Peer socat)
    {
        // 2026/11/23 06:08:41 socat[1] N listening on AF=2 127.0.0.1:42027
        string line = await socat.WaitForErrorAsync("listening on");
        return int.TryParse(line[(line.LastIndexOf(':') + 1)..], out int port) ? port : 0;
    }

    private static byte[] MakeBytes()
    {
        byte[] bytes = new byte[16 << 20];
        new Random(20).NextBytes(bytes);
        return bytes;
    }
}

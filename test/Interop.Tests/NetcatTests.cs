using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Interop.Tests;

/// <summary>OpenBSD's nc at the other end, as people try a service by hand.</summary>
[Trait("Peer", "nc")]
public class NetcatTests
{
    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    [Trait("Contract", "W13")]
    [Trait("Contract", "S2")]
    public async Task Echo_NcSendsLinesAndHalfCloses_LinesComeBackAndNcEnds(string kind)
    {
        await using var place = new Place();
        await place.ServeAsync(kind, Handlers.EchoLines);

        Assert.Equal("hello\nand again\n", await AskAsync(place, kind, "hello\nand again\n"u8.ToArray()));
    }

    [Fact]
    [Trait("Contract", "S9")]
    [Trait("Fault", "F08")]
    public async Task Scan_NcConnectsAndClosesAtOnce_NothingIsLoggedAboveInformation()
    {
        await using var place = new Place();
        var log = new FakeLogCollector();
        using var loggers = new LoggerFactory([new FakeLoggerProvider(log)]);
        await place.ServeAsync("tcp", Handlers.EchoLines, new ByteStreamServerOptions { LoggerFactory = loggers });

        for (int i = 0; i < 10; i++)
        {
            await using Peer scan = Peer.Start("nc", "-z", "127.0.0.1", $"{place.Port}");
            await scan.FinishAsync();
        }

        Assert.Equal("still there\n", await AskAsync(place, "tcp", "still there\n"u8.ToArray()));
        place.Server!.Close();
        await place.Server.WaitClosedAsync(place.Late);
        Assert.DoesNotContain(log.GetSnapshot(), line => line.Level > LogLevel.Information);
    }

    [Fact]
    [Trait("Fault", "F20")]
    public async Task Handshake_NcSendsPlainTextToATlsPort_TheHandlerNeverRunsAndOneLineIsLogged()
    {
        await using var place = new Place();
        var log = new FakeLogCollector();
        using var loggers = new LoggerFactory([new FakeLoggerProvider(log)]);
        bool ran = false;
        await place.ServeAsync(
            "tls",
            (_, _, _) =>
            {
                ran = true;
                return Task.CompletedTask;
            },
            new ByteStreamServerOptions { LoggerFactory = loggers });

        await AskAsync(place, "tcp", "GET / HTTP/1.0\r\n\r\n"u8.ToArray());

        place.Server!.Close();
        await place.Server.WaitClosedAsync(place.Late);
        Assert.False(ran);
        Assert.Equal(LogLevel.Information, Assert.Single(log.GetSnapshot(), line => line.Category == "ByteStreams.Tls").Level);
        Assert.DoesNotContain(log.GetSnapshot(), line => line.Level > LogLevel.Information);
    }

    /// <summary>Sends, half-closes (-N), and answers everything that came back before nc ended.</summary>
    private static async Task<string> AskAsync(Place place, string kind, ReadOnlyMemory<byte> text)
    {
        await using Peer nc = kind == "unix"
            ? Peer.Start("nc", "-N", "-U", place.Path)
            : Peer.Start("nc", "-N", "127.0.0.1", $"{place.Port}");
        await nc.SendAsync(text);
        return await nc.FinishAsync();
    }
}

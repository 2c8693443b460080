using System.Net;
using System.Net.Sockets;
using ByteStreams;
using ByteStreams.Transport;
using Microsoft.Extensions.Time.Testing;
using StreamsHost.Handlers;

namespace StreamsHost.Tests;

public class HandlerTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Echo_Lines_ComeBackAndTheEndToo()
    {
        await using ByteStreamServer server = await StartAsync(() => new EchoHandler());
        await using ByteStreamConnection client = await ConnectAsync(server);

        client.Writer.Write("one\r\ntw"u8);
        client.Writer.Write("o\nlast"u8);
        client.Writer.WriteEof();

        Assert.Equal("one\r\ntwo\nlast"u8.ToArray(), await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F06")]
    public async Task Echo_LineOverTheLimit_IsAnsweredWithAnErrorAndTheNextGoesOn()
    {
        await using ByteStreamServer server = await StartAsync(() => new EchoHandler(), limit: 5);
        await using ByteStreamConnection client = await ConnectAsync(server);

        client.Writer.Write("123456\n12345\n"u8);

        Assert.Equal("error: a line may have 5 bytes\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
        Assert.Equal("12345\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Discard_Anything_IsTakenAndNotAnswered()
    {
        await using ByteStreamServer server = await StartAsync(() => new DiscardHandler());
        await using ByteStreamConnection client = await ConnectAsync(server);

        for (int i = 0; i < 64; i++)
        {
            client.Writer.Write(new byte[65536]);
            await client.Writer.DrainAsync(Cancel);
        }

        client.Writer.WriteEof();

        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Chat_Line_ReachesAllMembers()
    {
        var room = new ByteStreamConnections();
        await using ByteStreamServer server = await StartAsync(() => new ChatHandler(room));
        await using ByteStreamConnection ann = await JoinAsync(server, room);
        await using ByteStreamConnection bob = await JoinAsync(server, room);

        ann.Writer.Write("hello\n");
        bob.Writer.Write("unfinished");
        Assert.Equal("hello\n"u8.ToArray(), await ann.Reader.ReadLineAsync(Cancel));
        Assert.Equal("hello\n"u8.ToArray(), await bob.Reader.ReadLineAsync(Cancel));
        bob.Writer.WriteEof();

        Assert.Equal("unfinished\n"u8.ToArray(), await ann.Reader.ReadLineAsync(Cancel));
        Assert.Equal("unfinished\n"u8.ToArray(), await bob.Reader.ReadAsync(cancellationToken: Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Chat_MemberThatDoesNotRead_IsDroppedAndDelaysNoOther()
    {
        var room = new ByteStreamConnections(new ByteStreamConnectionsOptions { MaxPending = 4 * 65536 });
        await using ByteStreamServer server = await StartAsync(() => new ChatHandler(room));
        await using ByteStreamConnection slow = await JoinAsync(server, room);
        await using ByteStreamConnection fast = await JoinAsync(server, room);
        byte[] line = [.. Enumerable.Repeat((byte)'x', 60000), (byte)'\n'];

        // The in-memory connection and the write buffer take about 128 KiB. Four lines are queued; the next exceeds MaxPending.
        for (int i = 0; i < 20; i++)
        {
            fast.Writer.Write(line);
            Assert.Equal(line, await fast.Reader.ReadLineAsync(Cancel));
        }

        await Assert.ThrowsAsync<Microsoft.AspNetCore.Connections.ConnectionResetException>(async () =>
        {
            while ((await slow.Reader.ReadAsync(65536, Cancel)).Length > 0)
            {
            }
        });
        Assert.Equal(1, room.Count);
    }

    [Theory(Timeout = 120000)]
    [InlineData(0)]
    [InlineData(1)]
    [Trait("Fault", "F84")]
    public async Task Chat_FortyMembersThatStall_CostAWriteBufferEachAndAreDropped(int bytesAMinute)
    {
        const int Members = 40;
        const int Lines = 17;
        const int Taken = 100_000;
        var time = new FakeTimeProvider();
        var room = new ByteStreamConnections(new ByteStreamConnectionsOptions { TimeProvider = time });
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            new ChatHandler(room).OnConnectedAsync,
            new IPEndPoint(IPAddress.Loopback, 0),
            new ByteStreamServerOptions { SendBufferSize = 4096 },
            Cancel);
        long before = BufferedBytes.Total;
        byte[] line = [.. Enumerable.Repeat((byte)'x', 60_000), (byte)'\n'];
        var members = new List<Socket>();
        try
        {
            while (members.Count < Members)
            {
                var member = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
                members.Add(member);
                await member.ConnectAsync(server.EndPoints[0], Cancel);
            }

            await Patience.UntilAsync(() => room.Count, now => now == Members);
            await using ByteStreamConnection reading = await JoinAsync(server, room);
            for (int i = 0; i < Lines; i++)
            {
                await room.Group(ChatHandler.Room).SendAsync(line, Cancel);
            }

            // The others do not wait for those that stall.
            for (int i = 0; i < Lines; i++)
            {
                Assert.Equal(line, await reading.Reader.ReadLineAsync(Cancel));
            }

            // Who has the second line's first byte is in the second batch, in which everything else could be.
            foreach (Socket member in members)
            {
                byte[] taken = new byte[Taken];
                for (int got = 0; got < Taken;)
                {
                    got += await member.ReceiveAsync(taken.AsMemory(got), Cancel);
                }
            }

            Assert.InRange(BufferedBytes.Total - before, 0, Members * 80 * 1024);
            Assert.Equal(Members + 1, room.Count);

            byte[] one = new byte[1];
            await Patience.UntilAsync(() =>
            {
                foreach (Socket member in members.Where(_ => bytesAMinute > 0))
                {
                    try
                    {
                        _ = member.Receive(one);
                    }
                    catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
                    {
                        // It was dropped.
                    }
                }

                time.Advance(TimeSpan.FromMinutes(1));
                return room.Count == 1;
            });
            reading.Writer.Write("still here\n");
            Assert.Equal("still here\n"u8.ToArray(), await reading.Reader.ReadLineAsync(Cancel));
        }
        finally
        {
            members.ForEach(member => member.Dispose());
        }
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F84")]
    public async Task Chat_MemberHalfClosesAndStalls_IsDroppedAfterThePendingTimeout()
    {
        var time = new FakeTimeProvider();
        var room = new ByteStreamConnections(new ByteStreamConnectionsOptions { TimeProvider = time });
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            new ChatHandler(room).OnConnectedAsync,
            new IPEndPoint(IPAddress.Loopback, 0),
            new ByteStreamServerOptions { SendBufferSize = 4096 },
            Cancel);
        using var member = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await member.ConnectAsync(server.EndPoints[0], Cancel);
        await Patience.UntilAsync(() => room.Count, now => now == 1);
        for (int i = 0; i < 10; i++)
        {
            await room.Group(ChatHandler.Room).SendAsync(new byte[60_000], Cancel);
        }

        member.Shutdown(SocketShutdown.Send);
        await Patience.UntilAsync(() => room.Count, now => now == 0);
        // Past the member's leave, which nothing reports; a shorter time would only test less.
        await Task.Delay(100, Cancel);

        await Patience.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromMinutes(1));
            return server.ClientCount == 0;
        });
    }

    private static Task<ByteStreamServer> StartAsync(Func<ByteStreamHandler> make, int limit = ByteStreamReader.DefaultLimit) =>
        ByteStream.StartServerAsync(
            (reader, writer, stopping) => make().OnConnectedAsync(reader, writer, stopping),
            (EndPoint)new InMemoryEndPoint(Guid.NewGuid().ToString()),
            new ByteStreamServerOptions { Limit = limit },
            Cancel);

    private static Task<ByteStreamConnection> ConnectAsync(ByteStreamServer server) =>
        ByteStream.OpenConnectionAsync(server.EndPoints[0], cancellationToken: Cancel);

    /// <summary>Connects, and proves by a line of its own that the room knows the member.</summary>
    private static async Task<ByteStreamConnection> JoinAsync(ByteStreamServer server, ByteStreamConnections room)
    {
        int before = room.Count;
        ByteStreamConnection client = await ConnectAsync(server);
        while (room.Count == before)
        {
            await Task.Yield();
        }

        return client;
    }
}

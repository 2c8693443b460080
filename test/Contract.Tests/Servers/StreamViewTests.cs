using System.Net.WebSockets;
using System.Text;

namespace ByteStreams.Contract.Tests.Servers;

/// <summary>The pair as a Stream: what the runtime's conformance tests of connected streams require, and the runtime's own users of streams.</summary>
public sealed class StreamViewTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    [Trait("Contract", "R24")]
    public async Task Capabilities_EachView_AreThoseOfItsDirections()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (second)
        {
            Stream duplex = first.AsStream(), read = first.Reader.AsStream(), write = first.Writer.AsStream();

            Assert.Equal((true, true, false, false), (duplex.CanRead, duplex.CanWrite, duplex.CanSeek, duplex.CanTimeout));
            Assert.Equal((true, false), (read.CanRead, read.CanWrite));
            Assert.Equal((false, true), (write.CanRead, write.CanWrite));
            await Assert.ThrowsAsync<NotSupportedException>(async () => await write.ReadExactlyAsync(new byte[1], Test));
            await Assert.ThrowsAsync<NotSupportedException>(async () => await read.WriteAsync(new byte[1], Test));
            await duplex.DisposeAsync();
            Assert.Equal((false, false), (duplex.CanRead, duplex.CanWrite));
            await Assert.ThrowsAsync<ObjectDisposedException>(async () => await duplex.ReadExactlyAsync(new byte[1], Test));
        }
    }

    [Fact]
    [Trait("Contract", "W17")]
    public async Task ReadAndWrite_EachForm_CarriesTheBytes()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using Stream a = first.AsStream();
        await using Stream b = second.AsStream();
        byte[] buffer = new byte[4];

        await Task.Run(() => a.Write([1, 2], 0, 2), Test);
        Assert.Equal(2, await Task.Run(() => b.Read(buffer, 1, 3), Test));
        Assert.Equal([0, 1, 2, 0], buffer);
        await Task.Run(() => a.WriteByte(3), Test);
        Assert.Equal(3, await Task.Run(b.ReadByte, Test));
        await Task.Factory.FromAsync(a.BeginWrite, a.EndWrite, new byte[] { 4 }, 0, 1, null);
        Assert.Equal(1, await Task<int>.Factory.FromAsync(b.BeginRead, b.EndRead, buffer, 0, 4, null));
        Assert.Equal(4, buffer[0]);
    }

    [Fact]
    [Trait("Contract", "R24")]
    public async Task Read_ZeroBytes_WaitsForBytesAndTakesNone()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using Stream a = first.AsStream();
        await using Stream b = second.AsStream();

        ValueTask<int> empty = b.ReadAsync(Memory<byte>.Empty, Test);
        Assert.False(empty.IsCompleted);
        await a.WriteAsync("x"u8.ToArray(), Test);

        Assert.Equal(0, await empty.Soon());
        Assert.Equal('x', await Task.Run(b.ReadByte, Test));
    }

    [Fact]
    [Trait("Contract", "R24")]
    public async Task Read_Cancelled_LosesNoByte()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using Stream a = first.AsStream();
        await using Stream b = second.AsStream();
        using var cancel = new CancellationTokenSource();

        ValueTask<int> read = b.ReadAsync(new byte[1], cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await read);
        await a.WriteAsync("y"u8.ToArray(), Test);

        Assert.Equal('y', await Task.Run(b.ReadByte, Test));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Contract", "W17")]
    public async Task Dispose_LeaveOpenOrNot_DecidesWhetherThePeerSeesTheEnd(bool leaveOpen)
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        await using (first)
        await using (second)
        {
            using (first.AsStream(leaveOpen))
            {
            }

            Assert.Equal(!leaveOpen, first.Writer.IsClosing);
            first.Writer.Write(leaveOpen ? "open"u8 : ""u8);
            first.Writer.Close();
            Assert.Equal(leaveOpen ? "open" : string.Empty, Encoding.ASCII.GetString(await second.Rest()));
        }
    }

    [Fact]
    public async Task CopyTo_SourceEnds_CopiesEveryByteAndLeavesTheTargetOpen()
    {
        (ByteStreamConnection source, ByteStreamConnection fed) = ByteStream.CreatePair();
        (ByteStreamConnection target, ByteStreamConnection read) = ByteStream.CreatePair();
        await using (source)
        await using (fed)
        await using (target)
        await using (read)
        {
            byte[] sent = new byte[300_000];
            new Random(1).NextBytes(sent);
            Task<long> copy = source.Reader.CopyToAsync(target.Writer, Test);
            Task<byte[]> received = read.Reader.ReadExactlyAsync(sent.Length, Test).Soon();
            await fed.Writer.WriteAsync(sent, Test);
            fed.Writer.WriteEof();

            Assert.Equal(sent.Length, await copy.Soon());
            Assert.Equal(sent, await received);
            await target.Writer.WriteAsync("after"u8, Test);
            Assert.Equal("after"u8.ToArray(), await read.Reader.ReadExactlyAsync(5, Test));
        }
    }

    [Fact]
    public async Task HttpClient_ConnectCallbackReturnsAUnixSocketConnection_GetsTheResponse()
    {
        string url = "unix:" + _folder.File("h.sock");
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer) =>
            {
                await reader.ReadUntilAsync("\r\n\r\n"u8);
                await writer.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"u8);
            },
            url,
            cancellationToken: Test);
        using var http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, token) => (await ByteStream.OpenConnectionAsync(url, cancellationToken: token)).AsStream(),
        });

        Assert.Equal("hello", await http.GetStringAsync(new Uri("http://unix/"), Test).Soon());
    }

    [Fact]
    public async Task WebSocket_CreatedFromBothEnds_CarriesMessagesAndTheClose()
    {
        (ByteStreamConnection first, ByteStreamConnection second) = ByteStream.CreatePair();
        using WebSocket client = WebSocket.CreateFromStream(first.AsStream(), new WebSocketCreationOptions { IsServer = false });
        using WebSocket server = WebSocket.CreateFromStream(second.AsStream(), new WebSocketCreationOptions { IsServer = true });
        byte[] buffer = new byte[16];

        await client.SendAsync("hi"u8.ToArray(), WebSocketMessageType.Binary, endOfMessage: true, Test);
        WebSocketReceiveResult received = await server.ReceiveAsync(buffer, Test).Soon();
        Assert.Equal((2, true, WebSocketMessageType.Binary), (received.Count, received.EndOfMessage, received.MessageType));

        Task closing = client.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Test);
        Assert.Equal(WebSocketMessageType.Close, (await server.ReceiveAsync(buffer, Test).Soon()).MessageType);
        await server.CloseAsync(WebSocketCloseStatus.NormalClosure, null, Test).Soon();
        await closing.Soon();
        Assert.Equal(WebSocketState.Closed, client.State);
    }
}

using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>F62 and F63: bytes, half-closes and back-pressure in both directions.</summary>
public sealed class RelayTransferTests : RelayTest
{
    /// <summary>Of 64 KiB each: 100 MiB.</summary>
    private const int StreamBlocks = 1600;

    public static TheoryData<string, string> Combinations => new(
        from client in Kinds
        from upstream in Kinds
        select (client, upstream));

    private static string[] Kinds => ["tcp", "tls", "unix"];

    [Theory, MemberData(nameof(Combinations))]
    [Trait("Fault", "F63")]
    public async Task Relay_ClientHalfCloses_UpstreamAnswersAfterwards_F63(string client, string upstream)
    {
        byte[] request = RandomNumberGenerator.GetBytes(3_000_000);
        byte[] reply = RandomNumberGenerator.GetBytes(3_000_000);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            Assert.Equal(request, await reader.ReadAsync(cancellationToken: stopping));
            writer.Write(reply);
            await writer.DrainAsync(stopping);
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));

        connection.Writer.Write(request);
        connection.Writer.WriteEof();

        Assert.Equal(reply, await connection.Reader.ReadAsync(cancellationToken: Soon));
        await AssertEndedAsync("closed_by_peer");
    }

    [Theory, MemberData(nameof(Combinations))]
    [Trait("Fault", "F63")]
    public async Task Relay_UpstreamHalfCloses_ClientKeepsSending_F63(string client, string upstream)
    {
        byte[] request = RandomNumberGenerator.GetBytes(3_000_000);
        var received = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            writer.Write("hello\n");
            writer.WriteEof();
            received.SetResult(await reader.ReadAsync(cancellationToken: stopping));
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));

        Assert.Equal("hello\n", Text(await connection.Reader.ReadAsync(cancellationToken: Soon)));
        connection.Writer.Write(request);
        connection.Writer.WriteEof();

        Assert.Equal(request, await received.Task.WaitAsync(Soon));
    }

    [Fact]
    [Trait("Fault", "F63")]
    public async Task Relay_HundredMebibytes_ArriveUnchanged_F63()
    {
        const int blocks = 1600;
        byte[] block = RandomNumberGenerator.GetBytes(65536);
        string url = await ServeUpstreamAsync("unix", async (reader, writer, stopping) =>
        {
            while (await reader.ReadAsync(65536, stopping) is { Length: > 0 } bytes)
            {
                writer.Write(bytes);
                await writer.DrainAsync(stopping);
            }
        });
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay => relay.Upstreams.Add(url)));
        Task sending = SendAsync();
        for (int i = 0; i < blocks; i++)
        {
            Assert.Equal(block, await connection.Reader.ReadExactlyAsync(block.Length, Soon));
        }

        Assert.Empty(await connection.Reader.ReadAsync(cancellationToken: Soon));
        await sending;

        async Task SendAsync()
        {
            for (int i = 0; i < blocks; i++)
            {
                connection.Writer.Write(block);
                await connection.Writer.DrainAsync(Soon);
            }

            connection.Writer.WriteEof();
        }
    }

    /// <summary>100 MiB up, the end of that direction, 100 MiB down; or the other way round.</summary>
    [Theory]
    [InlineData("tcp", "tcp", true)]
    [InlineData("tcp", "tcp", false)]
    [InlineData("tls", "unix", true)]
    [InlineData("tls", "unix", false)]
    [InlineData("unix", "tls", true)]
    [InlineData("unix", "tls", false)]
    [Trait("Fault", "F63")]
    public async Task Relay_HundredMebibytesBeforeAndAfterAHalfClose_ArriveUnchanged_F63(string client, string upstream, bool clientFirst)
    {
        TakeTime(TimeSpan.FromSeconds(120));
        var served = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, _) =>
        {
            if (clientFirst)
            {
                await ReceiveStreamAsync(reader, seed: 1);
                await SendStreamAsync(writer, seed: 2);
            }
            else
            {
                await SendStreamAsync(writer, seed: 2);
                await ReceiveStreamAsync(reader, seed: 1);
            }

            served.SetResult();
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));

        if (clientFirst)
        {
            await SendStreamAsync(connection.Writer, seed: 1);
            await ReceiveStreamAsync(connection.Reader, seed: 2);
        }
        else
        {
            await ReceiveStreamAsync(connection.Reader, seed: 2);
            await SendStreamAsync(connection.Writer, seed: 1);
        }

        await served.Task.WaitAsync(Soon);
    }

    [Fact]
    [Trait("Fault", "F62")]
    public async Task Relay_UpstreamDoesNotRead_ClientIsPausedAndNothingIsBuffered_F62()
    {
        var read = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var received = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) =>
        {
            await read.Task;
            long count = 0;
            while (await reader.ReadAsync(1 << 20, stopping) is { Length: > 0 } bytes)
            {
                count += bytes.Length;
            }

            received.SetResult(count);
        });
        EndPoint endPoint = await RelayAsync("tcp", relay => relay.Upstreams.Add(url));
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
        try
        {
            client.Connect(endPoint);
        }
        catch (SocketException pending) when (pending.SocketErrorCode == SocketError.WouldBlock)
        {
            Assert.True(client.Poll(TimeSpan.FromSeconds(10), SelectMode.SelectWrite));
        }

        // Until nobody takes any more for a while: what lies in the sockets on the way, and two marks of flow control.
        byte[] block = new byte[1 << 20];
        long sent = 0;
        while (client.Poll(TimeSpan.FromSeconds(1), SelectMode.SelectWrite) && sent < 1L << 30)
        {
            sent += client.Send(block, SocketFlags.None, out _);
        }

        Assert.InRange(sent, 1, 64 << 20);
        read.SetResult();
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(sent, await received.Task.WaitAsync(Soon));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [InlineData("unix")]
    [Trait("Fault", "F62")]
    public async Task Relay_ClientDoesNotRead_UpstreamIsPausedAndNothingIsLost_F62(string upstream)
    {
        const int most = 256 << 20;
        byte[] block = RandomNumberGenerator.GetBytes(65536);
        long sent = 0;
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (_, writer, stopping) =>
        {
            while (sent < most)
            {
                writer.Write(block);
                sent += block.Length;
                Task drained = writer.DrainAsync(stopping).AsTask();
                if (await Task.WhenAny(drained, Task.Delay(TimeSpan.FromSeconds(1), stopping)) != drained)
                {
                    break;
                }
            }

            stalled.SetResult();
        });
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay => relay.Upstreams.Add(url)));

        await stalled.Task.WaitAsync(Soon);

        // What lies in the sockets on the way, and a mark of flow control or two.
        Assert.InRange(sent, 1, 64 << 20);
        for (long received = 0; received < sent; received += block.Length)
        {
            byte[] arrived = await connection.Reader.ReadExactlyAsync(block.Length, Soon);
            Assert.True(block.AsSpan().SequenceEqual(arrived), $"other bytes than were sent, from {received}");
        }

        Assert.Empty(await connection.Reader.ReadAsync(cancellationToken: Soon));
    }

    private async Task SendStreamAsync(ByteStreamWriter writer, int seed)
    {
        byte[] block = Block(seed);
        for (int i = 0; i < StreamBlocks; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(block, i);
            writer.Write(block);
            await writer.DrainAsync(Soon);
        }

        writer.WriteEof();
    }

    private async Task ReceiveStreamAsync(ByteStreamReader reader, int seed)
    {
        byte[] block = Block(seed);
        byte[] received = new byte[block.Length];
        for (int i = 0; i < StreamBlocks; i++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(block, i);
            await reader.ReadExactlyAsync(received, Soon);
            Assert.True(block.AsSpan().SequenceEqual(received), $"block {i} is another one");
        }

        Assert.Empty(await reader.ReadAsync(cancellationToken: Soon));
    }

    private static byte[] Block(int seed)
    {
        byte[] block = new byte[65536];
        new Random(seed).NextBytes(block);
        return block;
    }
}

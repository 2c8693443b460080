using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using ByteStreams;
using Microsoft.AspNetCore.Connections;

namespace StreamsHost.Tests;

/// <summary>The relay in the real process, between raw sockets.</summary>
public sealed class HostProcessRelayTests : IAsyncLifetime
{
    private readonly Socket _upstream = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private HostProcess? _host;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HostProcess Host => _host!;

    public async ValueTask InitializeAsync()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the host's tests need a Unix system");
        _upstream.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _upstream.Listen();
        _host = HostProcess.Start(
            "--ByteStreams:Endpoints:relay:Url=tcp://127.0.0.1:0",
            "--ByteStreams:Endpoints:relay:Handler=relay",
            $"--ByteStreams:Endpoints:relay:Relay:Upstreams=tcp://{_upstream.LocalEndPoint}");
        await Host.WaitUntilUpAsync(4);
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F60")]
    public async Task Relay_UpstreamRefuses_ClientIsResetAndTheCauseIsLogged_F60()
    {
        _upstream.Dispose();

        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        // The reset may come before the connect has been told of its success.
        SocketException reset = await Assert.ThrowsAsync<SocketException>(async () =>
        {
            await client.ConnectAsync(IPAddress.Loopback, Host.Port("relay"), Cancel);
            await client.ReceiveAsync(new byte[1], Cancel);
        });

        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        await Host.WaitForLineAsync("ended: upstream_unavailable. Endpoint relay");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F61")]
    public async Task Relay_UpstreamResets_ClientIsReset_F61()
    {
        await using ByteStreamConnection client = await ConnectAsync();
        using (Socket accepted = await _upstream.AcceptAsync(Cancel))
        {
            await accepted.SendAsync("half a reply"u8.ToArray(), Cancel);
            Assert.Equal("half a reply"u8.ToArray(), await client.Reader.ReadExactlyAsync(12, Cancel));
            accepted.LingerState = new LingerOption(true, 0);
        }

        await Assert.ThrowsAsync<ConnectionResetException>(async () => await client.Reader.ReadExactlyAsync(1, Cancel));
        await Host.WaitForLineAsync("ended: upstream_reset. Endpoint relay");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F61")]
    public async Task Relay_ClientResets_UpstreamIsReset_F61()
    {
        ByteStreamConnection client = await ConnectAsync();
        client.Writer.Write("half a request");
        await client.Writer.DrainAsync(Cancel);
        using Socket accepted = await _upstream.AcceptAsync(Cancel);
        byte[] request = new byte[14];
        await new NetworkStream(accepted).ReadExactlyAsync(request, Cancel);

        client.Writer.Abort();

        SocketException reset = await Assert.ThrowsAsync<SocketException>(async () => await accepted.ReceiveAsync(new byte[1], Cancel));
        Assert.Equal(SocketError.ConnectionReset, reset.SocketErrorCode);
        await Host.WaitForLineAsync("ended: reset_by_peer. Endpoint relay");
        await client.DisposeAsync();
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F62")]
    public async Task Relay_UpstreamReadsNothing_ClientIsPausedAndMemoryIsFlat_F62()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the resident memory is Linux's");
        // Through the JIT's memory first.
        await using (ByteStreamConnection first = await ConnectAsync())
        {
            (await _upstream.AcceptAsync(Cancel)).Dispose();
            await first.Reader.ReadAsync(cancellationToken: Cancel);
        }

        long before = Host.ResidentBytes;
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Loopback, Host.Port("relay"), Cancel);
        using Socket accepted = await _upstream.AcceptAsync(Cancel);
        byte[] block = new byte[1 << 20];
        client.Blocking = false;
        long sent = 0;
        for (DateTime quietSince = DateTime.UtcNow; DateTime.UtcNow - quietSince < TimeSpan.FromSeconds(2);)
        {
            int taken = client.Send(block, SocketFlags.None, out SocketError error);
            Assert.True(error is SocketError.Success or SocketError.WouldBlock, error.ToString());
            if (taken > 0)
            {
                sent += taken;
                quietSince = DateTime.UtcNow;
            }
            else
            {
                client.Poll(TimeSpan.FromMilliseconds(200), SelectMode.SelectWrite);
            }
        }

        // What four sockets' buffers hold, and the relay's high water.
        Assert.InRange(sent, 1, 32 << 20);
        Assert.InRange(Host.ResidentBytes - before, long.MinValue, 16 << 20);
        long received = 0;
        byte[] buffer = new byte[1 << 20];
        client.Shutdown(SocketShutdown.Send);
        while (await accepted.ReceiveAsync(buffer, Cancel) is > 0 and int count)
        {
            received += count;
        }

        Assert.Equal(sent, received);
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F63")]
    public async Task Relay_HundredMebibytesAndAHalfClose_ArriveAsTheyWere_F63()
    {
        const int count = 100;
        byte[] block = RandomNumberGenerator.GetBytes(1 << 20);
        await using ByteStreamConnection client = await ConnectAsync();
        using Socket accepted = await _upstream.AcceptAsync(Cancel);
        var upstream = new NetworkStream(accepted);
        Task answering = Task.Run(
            async () =>
            {
                byte[] received = new byte[block.Length];
                for (int i = 0; i < count; i++)
                {
                    await upstream.ReadExactlyAsync(received, Cancel);
                    Assert.True(block.AsSpan().SequenceEqual(received), $"block {i} is another one");
                }

                Assert.Equal(0, await upstream.ReadAsync(received, Cancel));
                for (int i = 0; i < count; i++)
                {
                    await upstream.WriteAsync(block, Cancel);
                }

                accepted.Shutdown(SocketShutdown.Send);
            },
            Cancel);

        for (int i = 0; i < count; i++)
        {
            client.Writer.Write(block);
            await client.Writer.DrainAsync(Cancel);
        }

        client.Writer.WriteEof();
        for (int i = 0; i < count; i++)
        {
            byte[] received = await client.Reader.ReadExactlyAsync(block.Length, Cancel);
            Assert.True(block.AsSpan().SequenceEqual(received), $"block {i} is another one");
        }

        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel));
        await answering;
        await Host.WaitForLineAsync($"upstream tcp://{_upstream.LocalEndPoint}, 104857600 bytes in, 104857600 bytes out");
    }

    public async ValueTask DisposeAsync()
    {
        _upstream.Dispose();
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    private ValueTask<ByteStreamConnection> ConnectAsync() =>
        new(ByteStream.OpenConnectionAsync("127.0.0.1", Host.Port("relay"), cancellationToken: Cancel));
}

using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>F61: a reset or a truncation on one side is a reset on the other.</summary>
public sealed class RelayAbortTests : RelayTest
{
    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [Trait("Fault", "F61")]
    public async Task Relay_UpstreamResets_ClientSeesAReset_F61(string upstream)
    {
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            writer.Abort();
        });
        ByteStreamConnection connection = await ConnectAsync("tcp", await RelayAsync("tcp", relay => relay.Upstreams.Add(url)));
        connection.Writer.Write("go\n");

        await AssertResetAsync(connection);

        await AssertEndedAsync("upstream_reset");
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("tls")]
    [Trait("Fault", "F61")]
    public async Task Relay_ClientResets_UpstreamSeesAReset_F61(string client)
    {
        var end = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write(await reader.ReadLineAsync(stopping));
            await writer.DrainAsync(stopping);
            end.SetResult(await Record.ExceptionAsync(async () => await reader.ReadLineAsync(stopping)));
        });
        ByteStreamConnection connection = await ConnectAsync(client, await RelayAsync(client, relay => relay.Upstreams.Add(url)));
        Assert.Equal("go\n", await AskAsync(connection, "go\n"));

        connection.Writer.Abort();

        Assert.IsType<ConnectionResetException>(await end.Task.WaitAsync(Soon));
        await AssertEndedAsync("reset_by_peer");
    }

    [Fact]
    [Trait("Fault", "F24"), Trait("Fault", "F61")]
    public async Task Relay_TlsClientIsTruncated_UpstreamSeesAResetAndTheReasonIsReported()
    {
        var seen = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write(await reader.ReadLineAsync(stopping));
            await writer.DrainAsync(stopping);
            seen.SetResult(await Record.ExceptionAsync(async () => await reader.ReadAsync(cancellationToken: stopping)));
        });
        EndPoint endPoint = await RelayAsync("tls", relay => relay.Upstreams.Add(url), tls: tls => tls.RequireCloseNotify = true);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(endPoint, Soon);
        await using var client = new SslStream(new NetworkStream(socket));
        await client.AuthenticateAsClientAsync(new TlsClientOptions { CaPath = Authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions(), Soon);
        await client.WriteAsync("hello\n"u8.ToArray(), Soon);
        byte[] answer = new byte[6];
        await client.ReadExactlyAsync(answer, Soon);

        // The end of the socket, and none of TLS before it.
        socket.Shutdown(SocketShutdown.Send);

        Assert.Equal("hello\n"u8.ToArray(), answer);
        Assert.IsType<ConnectionResetException>(await seen.Task.WaitAsync(Soon));
        await AssertEndedAsync("tls_truncated");
    }

    [Theory]
    [InlineData(Carrier.Own)]
    [InlineData(Carrier.Stock)]
    [Trait("Fault", "F61")]
    public async Task Relay_ClientResetsAfterItsHalfClose_SendingUpstreamIsReset_F61(Carrier carrier)
    {
        var seen = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            // Nobody reads any more by then: only writing can tell.
            await reader.ReadAsync(cancellationToken: stopping);
            seen.SetResult(await Assert.ThrowsAnyAsync<Exception>(async () =>
            {
                while (true)
                {
                    writer.Write(new byte[4096]);
                    await writer.DrainAsync(stopping);
                }
            }));
        });
        var options = new RelayOptions();
        options.Upstreams.Add(url);
        ByteStreamRelay relay = Own(new ByteStreamRelay(options));
        Served served = await ServeAsync(carrier, _ => { }, relay.ServeAsync);
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(served.EndPoint, Soon);
        client.Shutdown(SocketShutdown.Send);
        await client.ReceiveAsync(new byte[1], Soon);

        client.LingerState = new LingerOption(true, 0);
        client.Dispose();

        Assert.IsAssignableFrom<IOException>(await seen.Task.WaitAsync(Soon));
    }
}

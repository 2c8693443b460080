using System.Diagnostics;
using System.Net.Sockets;
using ByteStreams.Middleware.Tests;
using ByteStreams.Middleware.Tests.ProxyProtocol;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Faults.Tests;

/// <summary>The PROXY protocol, statement by statement: P1 to P7.</summary>
public sealed class ProxyRows : FaultTest
{
    private const string Header = "PROXY TCP4 192.0.2.1 198.51.100.7 51324 443\r\n";

    private int _handled;

    [Fact, Trait("Fault", "P1")]
    public async Task P1_NotConfigured_AHeaderIsData_AndConfiguredItMustBeThere()
    {
        const int Count = 20;
        Served without = await ServeAsync(Carrier.Own, _ => { }, Echo);
        Served served = await BeginAsync(Tell, Trusting);
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync(without.EndPoint, cancellationToken: Soon))
        {
            Assert.Equal(Header, await AskAsync(client, Header));
        }

        for (int i = 0; i < Count; i++)
        {
            Assert.Empty(await SendAsync(served, "no header\n"u8.ToArray()));
        }

        await AssertRecoveredAsync(served, ("proxy_invalid", Count));
        Assert.Equal(0, _handled);
    }

    [Fact, Trait("Fault", "P2")]
    public async Task P2_HeaderInPieces_NothingRunsBeforeItIsCompleteAndTheBytesAfterItAreIntact()
    {
        Served served = await BeginAsync(Tell, Trusting);
        byte[] header = ProxyVectors.Text(Header);
        for (int cut = 1; cut < header.Length; cut++)
        {
            using Socket socket = await ConnectPlainAsync(served.EndPoint);
            long before = Received(served);
            await socket.SendAsync(header.AsMemory(..cut), Soon);
            await Patience.UntilAsync(() => Received(served), now => now == before + cut);
            Assert.Equal(cut - 1, _handled);
            await socket.SendAsync((byte[])[.. header[cut..], .. "bytes behind it\n"u8], Soon);
            Assert.Equal("192.0.2.1:51324 bytes behind it\n", Text(await AnswerAsync(socket)));
        }

        await AssertRecoveredAsync(served, ("closed_locally", header.Length - 1));
    }

    [Fact, Trait("Fault", "P3")]
    public Task P3_HeadersOfVersion1_AreTakenOrRefused() => AssertVerdictsAsync(header => header[0] == 'P');

    [Fact, Trait("Fault", "P4"), Trait("Fault", "P5")]
    public Task P4_P5_HeadersOfVersion2AndTheirAdditions_AreTakenOrRefused() => AssertVerdictsAsync(header => header[0] == '\r');

    [Theory, Trait("Fault", "P6")]
    [InlineData(SendProxyHeader.V1)]
    [InlineData(SendProxyHeader.V2)]
    public async Task P6_RelayThatSendsAHeader_ForwardsTheReceivedSource(SendProxyHeader version)
    {
        const int Count = 20;
        Served upstream = await ServeAsync(Carrier.Own, Trusting, Tell);
        ByteStreamRelay relay = Own(new ByteStreamRelay(new RelayOptions { SendProxyHeader = version, Upstreams = { $"tcp://{upstream.EndPoint}" } }));
        Served served = await BeginAsync(relay.ServeAsync, Trusting);
        for (int i = 0; i < Count; i++)
        {
            Assert.Equal("192.0.2.1:51324 hello\n", Text(await SendAsync(served, ProxyVectors.Text(Header + "hello\n"))));
        }

        await AssertRecoveredAsync(served, ("closed_by_peer", Count));
    }

    [Fact, Trait("Fault", "P7")]
    public async Task P7_CurlSendsAHeader_ItIsUnderstood()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/curl"), "curl (Debian: curl) sends it.");
        Served served = await BeginAsync(
            async (reader, writer, stopping) =>
            {
                while (await reader.ReadLineAsync(stopping) is { Length: > 2 })
                {
                    // Headers, up to the empty line.
                }

                ProxyHeader header = writer.Transport!.Features.Get<IProxyProtocolFeature>()!.Header;
                writer.Write($"HTTP/1.0 200 OK\r\n\r\nversion {header.Version}, {writer.RemoteEndPoint} is {header.Source}");
            },
            Trusting);
        using Process curl = Process.Start(new ProcessStartInfo(
            "/usr/bin/curl", ["--silent", "--show-error", "--haproxy-protocol", "--write-out", " from %{local_ip}:%{local_port}", $"http://{served.EndPoint}/"])
        { RedirectStandardOutput = true, Environment = { ["no_proxy"] = "*" } })!;
        string output = await curl.StandardOutput.ReadToEndAsync(Soon);
        await curl.WaitForExitAsync(Soon);

        string client = output[(output.LastIndexOf(' ') + 1)..];
        Assert.Equal($"version 1, {client} is {client} from {client}", output);
        await AssertRecoveredAsync(served, ("closed_locally", 1));
    }

    private static void Trusting(IConnectionBuilder builder) => builder.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.0/8"));

    private static long Received(Served served) => served.Metrics.Endpoints.Sum(endpoint => endpoint.Bytes().Received);

    /// <summary>Says who is connected, and the line that comes.</summary>
    private async Task Tell(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        Interlocked.Increment(ref _handled);
        byte[] line = await reader.ReadLineAsync(stopping);
        writer.Write($"{writer.RemoteEndPoint} ");
        writer.Write(line);
    }

    /// <summary>Each header of a kind over a connection of its own: who is told where it is right, and no handler where it is not.</summary>
    private async Task AssertVerdictsAsync(Func<byte[], bool> isOfTheKind)
    {
        Served served = await BeginAsync(Tell, Trusting);
        (byte[] Bytes, string Source, string)[] valid = [.. ProxyVectors.Valid.Where(vector => isOfTheKind(vector.Bytes))];
        foreach ((byte[] header, string source, _) in valid)
        {
            using Socket socket = await ConnectPlainAsync(served.EndPoint);
            await socket.SendAsync((byte[])[.. header, .. "hello\n"u8], Soon);
            // Where it does not tell, the client is who is connected.
            string client = source == "-" ? socket.LocalEndPoint!.ToString()! : source.Replace("[::ffff:192.0.2.1]", "192.0.2.1", StringComparison.Ordinal);
            Assert.Equal($"{client} hello\n", Text(await AnswerAsync(socket)));
        }

        byte[][] refused = [.. ProxyVectors.Refused.Select(vector => vector.Bytes).Where(isOfTheKind)];
        foreach (byte[] header in refused)
        {
            Assert.Empty(await SendAsync(served, header));
        }

        await AssertRecoveredAsync(served, ("closed_locally", valid.Length), ("proxy_invalid", refused.Length));
        Assert.Equal(valid.Length, _handled);
        Figure($"{valid.Length} taken, {refused.Length} refused");
    }

    /// <summary>Sends, and ends; what comes back.</summary>
    private async Task<byte[]> SendAsync(Served served, byte[] bytes)
    {
        using Socket socket = await ConnectPlainAsync(served.EndPoint);
        await socket.SendAsync(bytes, Soon);
        try
        {
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (SocketException)
        {
            // It was refused before it has ended.
        }

        return await AnswerAsync(socket);
    }

    /// <summary>What comes up to the end, which may be a reset.</summary>
    private async Task<byte[]> AnswerAsync(Socket socket)
    {
        var answer = new MemoryStream();
        byte[] room = new byte[4096];
        try
        {
            while (await socket.ReceiveAsync(room, Soon) is > 0 and int count)
            {
                answer.Write(room, 0, count);
            }
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
        }

        return answer.ToArray();
    }
}

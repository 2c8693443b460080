using System.Net;
using System.Net.Sockets;
using System.Text;

namespace ByteStreams.Http.Tests;

/// <summary>
/// How many system calls send a response: Kestrel flushes often, and the transport is to send once for what is flushed at once. With a send for
/// each flush they were 2, 1 and 1 a request; on the event loops they are 1, 0.06 and 0.04. Off them a thread of the pool sends, which may run before
/// the handler has flushed the rest (0.06 to 0.6 of pipelined requests were measured): there the bound is a send for each request.
/// </summary>
public class SystemCallTests : HttpTest
{
    /// <summary>The requests of a test whose client sends many at once.</summary>
    private const int Requests = 800;

    /// <summary>The requests of a test whose client sends one at a time: each is a round trip through a traced server, 0.6 ms on an idle machine.</summary>
    private const int SingleRequests = 200;

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Send_JsonOfTwoFlushes_IsOneCallARequest(TestedTransport transport)
    {
        double sends = await MeasureAsync(transport, SingleRequests, async (http, _) =>
        {
            using HttpClient client = Client(http);
            for (int request = 0; request < SingleRequests; request++)
            {
                Assert.Equal("{\"message\":\"Hello, World!\"}", await client.GetStringAsync("/json", Soon));
            }
        });

        Assert.InRange(sends, 0.9, 1.5);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Send_SixteenPipelinedRequests_AreFewCalls(TestedTransport transport)
    {
        double sends = await MeasureAsync(transport, Requests, async (http, _) =>
        {
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(IPAddress.Loopback, http, Soon);
            byte[] requests = Encoding.Latin1.GetBytes(string.Concat(Enumerable.Repeat("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n", 16)));
            var received = new byte[65536];
            for (int round = 0; round < Requests / 16; round++)
            {
                await socket.SendAsync(requests, Soon);
                var text = new StringBuilder();
                while (text.ToString().Split("Hello, World!").Length <= 16)
                {
                    int count = await socket.ReceiveAsync(received, Soon);
                    Assert.NotEqual(0, count);
                    text.Append(Encoding.Latin1.GetString(received, 0, count));
                }
            }
        });

        Assert.InRange(sends, 1.0 / 20, MostOfMany(transport));
    }

    [Theory(Timeout = 120000), MemberData(nameof(Transports))]
    public async Task Send_ThirtyTwoStreamsOfHttp2_AreFewCalls(TestedTransport transport)
    {
        double sends = await MeasureAsync(transport, Requests, async (_, http2) =>
        {
            using HttpClient client = Client(http2);
            client.DefaultRequestVersion = HttpVersion.Version20;
            client.DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact;
            await client.GetStringAsync("/plain", Soon);
            for (int round = 0; round < Requests / 32; round++)
            {
                await Task.WhenAll(Enumerable.Range(0, 32).Select(_ => client.GetStringAsync("/plain", Soon)));
            }
        });

        Assert.InRange(sends, 0, MostOfMany(transport));
    }

    /// <summary>The most sends a request, where many requests are answered at once.</summary>
    private static double MostOfMany(TestedTransport transport) =>
        transport == TestedTransport.ByteStreams && Environment.GetEnvironmentVariable("BYTESTREAMS_ENGINE") == "socket" ? 1.05 : 0.5;

    private static HttpClient Client(int port) => new() { BaseAddress = new Uri($"http://127.0.0.1:{port}") };

    /// <summary>Runs the load against a server in a process of its own, and returns the calls that sent something to a client, for each request.</summary>
    private async Task<double> MeasureAsync(TestedTransport transport, int requests, Func<int, int, Task> load)
    {
        Assert.SkipUnless(File.Exists("/usr/bin/strace"), "strace (Debian: strace) counts the calls.");
        string trace = Path.GetTempFileName();
        try
        {
            await using (ServerProcess server = await ServerProcess.StartAsync(
                ["/usr/bin/strace", "-f", "-qq", "-yy", "--seccomp-bpf", "-e", "trace=sendto,sendmsg,write,writev", "-o", trace], transport, "tcp", 2, Soon))
            {
                await load(server.Addresses[0].Port, server.Addresses[1].Port);
            }

            return File.ReadLines(trace).Count(line => line.Contains("<TCP:[", StringComparison.Ordinal)) / (double)requests;
        }
        finally
        {
            File.Delete(trace);
        }
    }
}

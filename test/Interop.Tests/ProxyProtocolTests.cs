using System.Globalization;
using System.Net;
using System.Text;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Interop.Tests;

/// <summary>P7: PROXY headers that HAProxy and curl send, and ours as HAProxy reads them.</summary>
[Trait("Fault", "P7")]
public sealed class ProxyProtocolTests : IDisposable
{
    private readonly AuthorityFiles _authority = new();
    private readonly TaskCompletionSource<(ProxyHeader Header, string? Remote)> _heard = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _authority.Dispose();

    [Theory(Timeout = 60_000)]
    [Trait("Peer", "haproxy")]
    [InlineData("send-proxy", 1)]
    [InlineData("send-proxy-v2", 2)]
    [InlineData("send-proxy-v2 proxy-v2-options crc32c,unique-id", 2)]
    public async Task Receive_HAProxySends_ClientIsKnownAndItsBytesFollow_P7(string how, int version)
    {
        await using ByteStreamServer server = await ServeAsync();
        int front = Ports.Free();
        await using Peer haproxy = await StartAsync(front, $"""
            frontend front
              bind 127.0.0.1:{front}
              mode tcp
              unique-id-format id-%ci-%cp
              default_backend back
            backend back
              mode tcp
              server ours {server.EndPoints[0]} {how}
            """);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", front, cancellationToken: Cancel);

        await AnswersAsync(client);

        (ProxyHeader header, string? remote) = await _heard.Task.WaitAsync(Patience.Limit, Cancel);
        Assert.Equal((version, client.Writer.LocalEndPoint!.ToString(), $"127.0.0.1:{front}"), (header.Version, remote, header.Destination!.ToString()));
        if (how.Contains("unique-id", StringComparison.Ordinal))
        {
            Assert.Equal($"id-127.0.0.1-{((IPEndPoint)client.Writer.LocalEndPoint!).Port}", Encoding.ASCII.GetString(header.UniqueId.Span));
        }
    }

    [Fact(Timeout = 60_000)]
    [Trait("Peer", "haproxy")]
    public async Task Receive_HAProxyEndsTls_ItsAdditionsTellVersionCipherAndClient_P7()
    {
        await using ByteStreamServer server = await ServeAsync();
        int front = Ports.Free();
        TlsCertificateOptions own = _authority.Write("front");
        string pair = Path.Combine(_authority.Folder, "front.pem");
        await File.WriteAllTextAsync(pair, await File.ReadAllTextAsync(own.Path!, Cancel) + await File.ReadAllTextAsync(own.KeyPath!, Cancel), Cancel);
        await using Peer haproxy = await StartAsync(front, $"""
            frontend front
              bind 127.0.0.1:{front} ssl crt {pair} ca-file {_authority.CaPath} verify required alpn echo/1
              mode tcp
              default_backend back
            backend back
              mode tcp
              server ours {server.EndPoints[0]} send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,crc32c,authority
            """);
        var tls = new TlsClientOptions { CaPath = _authority.CaPath, ServerName = "localhost", Certificate = _authority.Write("billing"), ApplicationProtocols = { "echo/1" } };
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            "127.0.0.1", front, new() { Tls = tls.CreateAuthenticationOptions() }, Cancel);

        await AnswersAsync(client);

        ProxyHeader header = (await _heard.Task.WaitAsync(Patience.Limit, Cancel)).Header;
        Assert.Equal(("TLSv1.3", "billing", "localhost"), (header.Ssl!.Version, header.Ssl.CommonName, header.Authority));
        Assert.StartsWith("TLS_", header.Ssl.Cipher, StringComparison.Ordinal);
        Assert.True(header.Ssl is { IsSsl: true, IsClientVerified: true });
    }

    [Fact(Timeout = 60_000)]
    [Trait("Peer", "haproxy")]
    public async Task Receive_HAProxyChecksHealth_IsLocalAndKeepsItUp_P7()
    {
        await using ByteStreamServer server = await ServeAsync();
        int front = Ports.Free();
        await using Peer haproxy = await StartAsync(front, $"""
            frontend front
              bind 127.0.0.1:{front}
              mode tcp
              default_backend back
            backend back
              mode tcp
              option tcp-check
              tcp-check connect send-proxy
              tcp-check send check\n
              tcp-check expect string check
              server ours {server.EndPoints[0]} send-proxy-v2 check inter 100ms
            """);

        (ProxyHeader header, string? _) = await _heard.Task.WaitAsync(Patience.Limit, Cancel);

        Assert.True(header.IsLocal);
        Assert.Null(header.Source);
    }

    [Theory(Timeout = 60_000)]
    [Trait("Peer", "haproxy")]
    [InlineData(1, "192.0.2.1:51324")]
    [InlineData(2, "192.0.2.1:51324")]
    [InlineData(1, "[2001:db8::1]:51324")]
    [InlineData(2, "[2001:db8::1]:51324")]
    public async Task Send_HAProxyAccepts_KnowsTheClient_P7(int version, string source)
    {
        int front = Ports.Free();
        await using Peer haproxy = await StartAsync(front, $"""
            frontend front
              bind 127.0.0.1:{front} accept-proxy
              mode http
              http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
            """);
        var to = IPEndPoint.Parse(source.StartsWith('[') ? "[2001:db8::7]:443" : "198.51.100.7:443");
        var from = IPEndPoint.Parse(source);
        var tlvs = version == 2 ? new ProxyTlv[] { new(ProxyTlv.UniqueId, "id-7"u8.ToArray()), new(0xE0, new byte[] { 1 }) } : [];
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            "127.0.0.1", front, new() { ProxyHeader = new ProxyHeader { Version = version, Source = from, Destination = to, Tlvs = tlvs } }, Cancel);

        client.Writer.Write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        string answer = Encoding.ASCII.GetString(await client.Reader.ReadAsync(cancellationToken: Cancel).AsTask().WaitAsync(Patience.Limit, Cancel));

        Assert.EndsWith($"\r\n\r\n{from.Address} {from.Port} {to.Address} {to.Port}", answer, StringComparison.Ordinal);
    }

    [Fact(Timeout = 60_000)]
    [Trait("Peer", "haproxy")]
    public async Task Send_LocalToHAProxy_RealAddressesStay_P7()
    {
        int front = Ports.Free();
        await using Peer haproxy = await StartAsync(front, $"""
            frontend front
              bind 127.0.0.1:{front} accept-proxy
              mode http
              http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port]"
            """);
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", front, new() { ProxyHeader = ProxyHeader.Local }, Cancel);

        client.Writer.Write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

        Assert.EndsWith(
            $"\r\n\r\n{client.Writer.LocalEndPoint}",
            Encoding.ASCII.GetString(await client.Reader.ReadAsync(cancellationToken: Cancel).AsTask().WaitAsync(Patience.Limit, Cancel)),
            StringComparison.Ordinal);
    }

    [Theory(Timeout = 60_000)]
    [Trait("Peer", "curl")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Receive_CurlSends_ClientIsKnown_P7(bool overTls)
    {
        await using ByteStreamServer server = await ServeAsync(async (reader, writer) =>
        {
            while (await reader.ReadTextLineAsync(cancellationToken: Cancel) is { Length: > 0 })
            {
            }

            writer.Write($"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{writer.RemoteEndPoint}");
        }, overTls);
        await using Peer curl = Peer.Start(
            "curl",
            "-sS", "--haproxy-protocol", "--ipv4", "--cacert", _authority.CaPath, "--write-out", " %{local_ip}:%{local_port}",
            $"{(overTls ? "https" : "http")}://localhost:{((IPEndPoint)server.EndPoints[0]).Port}/");

        string[] output = (await curl.FinishAsync()).Split(' ');

        Assert.Equal(output[1], output[0]);
        Assert.Equal(1, (await _heard.Task.WaitAsync(Patience.Limit, Cancel)).Header.Version);
    }

    private static async Task AnswersAsync(ByteStreamConnection client)
    {
        client.Writer.Write("hello\n");
        Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel).AsTask().WaitAsync(Patience.Limit, Cancel));
    }

    /// <summary>Starts HAProxy, and waits until it listens.</summary>
    private async Task<Peer> StartAsync(int port, string sections)
    {
        string file = Path.Combine(_authority.Folder, "haproxy.cfg");
        await File.WriteAllTextAsync(file, $"""
            global
              maxconn 100
            defaults
              timeout connect 5s
              timeout client 20s
              timeout server 20s
            {sections}

            """, Cancel);
        Peer haproxy = Peer.Start("haproxy", "-db", "-f", file);
        await Patience.UntilAsync(() => Listens(port), observed: () => haproxy.Errors);

        return haproxy;
    }

    /// <summary>Looks into /proc: a probing connection would be forwarded.</summary>
    private static bool Listens(int port)
    {
        string local = string.Create(CultureInfo.InvariantCulture, $"0100007F:{port:X4} 00000000:0000 0A");
        return File.ReadAllLines("/proc/net/tcp").Any(line => line.Contains(local, StringComparison.Ordinal));
    }

    private Task<ByteStreamServer> ServeAsync(Func<ByteStreamReader, ByteStreamWriter, Task>? handler = null, bool isTls = false)
    {
        var options = new ByteStreamServerOptions();
        options.UseProxyProtocol(proxy => proxy.TrustedNetworks.Add("127.0.0.1"));
        if (isTls)
        {
            options.UseTls(tls => tls.Certificates.Add(_authority.Write("localhost")));
        }

        return ByteStream.StartServerAsync(
            async (reader, writer, stopping) =>
            {
                _heard.TrySetResult((writer.Transport!.Features.Get<IProxyProtocolFeature>()!.Header, writer.RemoteEndPoint?.ToString()));
                await (handler is null ? Handlers.EchoLines(reader, writer, stopping) : handler(reader, writer));
            },
            new IPEndPoint(IPAddress.Loopback, 0),
            options,
            Cancel);
    }
}

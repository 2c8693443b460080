using System.Net;
using System.Net.Sockets;
using System.Text;
using ByteStreams;
using ByteStreams.Interop.Tests;
using ByteStreams.Testing;

namespace StreamsHost.Tests;

/// <summary>The real process and clients that others have written: what test/Interop.Tests shows of the library, here of the program that is deployed.</summary>
public sealed class HostProcessPeersTests : IAsyncLifetime
{
    private readonly AuthorityFiles _authority = new();
    private HostProcess? _host;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HostProcess Host => _host!;

    public async ValueTask InitializeAsync()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the peers are those of a Unix system");
        const string endpoints = "--ByteStreams:Endpoints";
        TlsCertificateOptions certificate = _authority.Write("localhost");
        string[] Tls(string endpoint) =>
        [
            $"{endpoints}:{endpoint}:Url=tls://127.0.0.1:0",
            $"{endpoints}:{endpoint}:Tls:Certificates:0:Path={certificate.Path}",
            $"{endpoints}:{endpoint}:Tls:Certificates:0:KeyPath={certificate.KeyPath}",
        ];
        _host = HostProcess.Start(
        [
            .. Tls("front"), $"{endpoints}:front:Handler=relay", $"{endpoints}:front:Relay:Upstreams=unix:@{Path.GetFileName(_authority.Folder)}",
            .. Tls("tls-echo"), $"{endpoints}:tls-echo:Handler=echo",
            $"{endpoints}:behind:Url=unix:@{Path.GetFileName(_authority.Folder)}", $"{endpoints}:behind:Handler=echo",
            .. Tls("mutual"), $"{endpoints}:mutual:Handler=echo", $"{endpoints}:mutual:Tls:ClientCertificates=Require", $"{endpoints}:mutual:Tls:ClientCaPath={_authority.CaPath}",
            $"{endpoints}:proxied:Url=tcp://127.0.0.1:0", $"{endpoints}:proxied:Handler=echo", $"{endpoints}:proxied:ProxyProtocol:TrustedNetworks=127.0.0.1",
        ]);
        await Host.WaitUntilUpAsync(8);
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "socat")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Echo_SocatEndsItsDirection_GetsAllOfItBack(bool overUnix)
    {
        byte[] sent = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, 20000).Select(i => $"line {i}\n")));
        await using Peer socat = Peer.Start("socat", "-t", "20", "-", overUnix ? $"UNIX-CONNECT:{Host.SocketPath}" : $"TCP:127.0.0.1:{Host.Port("echo")}");

        Task sending = socat.SendAsync(sent);

        Assert.Equal(sent, await socat.ReadToEndAsync());
        await sending;
    }

    [Theory(Timeout = 120000)]
    [InlineData("echo", "nc")]
    [InlineData("echo-unix", "nc")]
    [InlineData("behind", "socat")]
    [InlineData("front", "openssl")]
    public async Task Announcement_ItsCommand_GetsALineBack(string endpoint, string program)
    {
        string announced = Host.Announced[endpoint];
        string[] command = announced[(announced.IndexOf("connect with: ", StringComparison.Ordinal) + "connect with: ".Length)..].Split(' ');
        Assert.Equal(program, command[0]);
        await using Peer peer = Peer.Start(command[0], command[1..]);

        await peer.Input.WriteAsync("hello\n"u8.ToArray(), Cancel);
        await peer.Input.FlushAsync(Cancel);

        byte[] line = new byte[6];
        await peer.Output.ReadExactlyAsync(line, Cancel);
        Assert.Equal("hello\n"u8.ToArray(), line);
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "openssl")]
    [InlineData("tls-echo")]
    [InlineData("mutual")]
    public async Task Announcement_SClientWhoseInputEnds_EndsWithoutATruncation(string endpoint)
    {
        string announced = Host.Announced[endpoint];
        string command = announced[(announced.IndexOf("connect with: ", StringComparison.Ordinal) + "connect with: ".Length)..];
        TlsCertificateOptions certificate = _authority.Write("alice");
        // The certificate that mutual TLS asks for is the reader's own.
        Assert.Equal(endpoint == "mutual", command.Contains("-cert client.crt -key client.key", StringComparison.Ordinal));
        command = command.Replace("client.crt", certificate.Path, StringComparison.Ordinal).Replace("client.key", certificate.KeyPath, StringComparison.Ordinal);

        await AssertEndsCleanlyAsync(command, endpoint);
    }

    [Fact(Timeout = 120000)]
    [Trait("Peer", "openssl")]
    public async Task Documentation_EverySClientCommand_EndsWithoutATruncation()
    {
        string[] documents = ["README.md", .. Directory.GetFiles(Path.Combine(Repository.Root, "docs"), "*.md", SearchOption.AllDirectories)];
        string[] commands = [.. documents.SelectMany(document => Repository.Read(document).Split('\n')).Where(line => line.Contains("openssl s_client -", StringComparison.Ordinal))];
        Assert.NotEmpty(commands);
        foreach (string documented in commands)
        {
            string command = documented[documented.IndexOf("openssl", StringComparison.Ordinal)..]
                .Replace("127.0.0.1:7443", $"127.0.0.1:{Host.Port("tls-echo")}", StringComparison.Ordinal)
                .Replace("docker/tls/tls.crt", _authority.CaPath, StringComparison.Ordinal);
            await AssertEndsCleanlyAsync(command, "tls-echo");
        }
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "python3")]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Echo_PythonSendsLines_ComeBackAndThenTheEnd(bool overUnix)
    {
        await using Peer python = Peer.StartPython("lines_client.py", overUnix ? $"unix:{Host.SocketPath}" : $"tcp:{Host.Port("echo")}", "10000");

        Assert.Equal("10000 lines, then the end\n", await python.FinishAsync());
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "openssl")]
    [InlineData("-tls1_2")]
    [InlineData("-tls1_3")]
    public async Task RelayOverTls_SClientAsks_IsAnsweredByTheUnixSocket(string version)
    {
        await using Peer client = Peer.Start(
            "openssl", "s_client", "-connect", $"127.0.0.1:{Host.Port("front")}", version, "-quiet", "-CAfile", _authority.CaPath, "-verify_return_error");

        await client.Input.WriteAsync("hello\n"u8.ToArray(), Cancel);
        await client.Input.FlushAsync(Cancel);

        Assert.Equal("hello", await client.ReadLineAsync());
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "python3")]
    [InlineData(true, "served hello")]
    [InlineData(false, "refused ")]
    public async Task MutualTls_PythonShowsACertificateOrNone_OnlyTheFirstIsServed(bool shown, string outcome)
    {
        TlsCertificateOptions certificate = _authority.Write("alice");
        await using Peer python = Peer.StartPython(
            "mtls_client.py", [$"{Host.Port("mutual")}", _authority.CaPath, .. shown ? (string[])[certificate.Path!, certificate.KeyPath!] : []]);

        Assert.StartsWith(outcome, await python.FinishAsync(), StringComparison.Ordinal);
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "haproxy")]
    [Trait("Fault", "P7")]
    [InlineData("send-proxy")]
    [InlineData("send-proxy-v2")]
    public async Task ProxyProtocol_HAProxyInFront_SummaryNamesTheRealClient(string how)
    {
        string file = Path.Combine(_authority.Folder, "haproxy.cfg");
        int port = FreePort();
        await File.WriteAllTextAsync(file, $"""
            defaults
              mode tcp
              timeout connect 5s
              timeout client 20s
              timeout server 20s
            listen front
              bind 127.0.0.1:{port}
              server host 127.0.0.1:{Host.Port("proxied")} {how}

            """, Cancel);
        await using Peer haproxy = Peer.Start("haproxy", "-db", "-f", file);
        await using ByteStreamConnection client = await ConnectAsync(haproxy, port);

        client.Writer.Write("hello\n");
        Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
        string address = client.Writer.LocalEndPoint!.ToString()!;
        client.Writer.WriteEof();

        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Cancel));
        await Host.WaitForLineAsync($"Endpoint proxied, handler echo, peer {address}, proxy 127.0.0.1:");
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }

        _authority.Dispose();
    }

    private static int FreePort()
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    /// <summary>Connects as soon as the peer listens, which it does not tell.</summary>
    private static async Task<ByteStreamConnection> ConnectAsync(Peer peer, int port)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        late.CancelAfter(Patience.Limit);
        while (true)
        {
            try
            {
                return await ByteStream.OpenConnectionAsync("127.0.0.1", port, cancellationToken: late.Token);
            }
            catch (SocketException) when (!late.IsCancellationRequested)
            {
                Assert.DoesNotContain("ALERT", peer.Errors, StringComparison.Ordinal);
                await Task.Delay(20, late.Token);
            }
        }
    }

    /// <summary>The command gets a line back; after the end of its input it ends, and the host knows that nothing was cut off.</summary>
    private async Task AssertEndsCleanlyAsync(string command, string endpoint)
    {
        string[] words = command.Split(' ');
        await using Peer peer = Peer.Start(words[0], words[1..]);
        await peer.Input.WriteAsync("hello\n"u8.ToArray(), Cancel);
        await peer.Input.FlushAsync(Cancel);
        Assert.Equal("hello", await peer.ReadLineAsync());

        int before = Host.Ended.GetValueOrDefault((endpoint, "closed_by_peer"));
        await peer.SendAsync(ReadOnlyMemory<byte>.Empty);
        await peer.FinishAsync();
        while (Host.Ended.GetValueOrDefault((endpoint, "closed_by_peer")) == before)
        {
            await Host.ReadMessageAsync();
            Assert.DoesNotContain((endpoint, "tls_truncated"), Host.Ended.Keys);
        }
    }
}

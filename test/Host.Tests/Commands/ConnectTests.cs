using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using ByteStreams;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;

namespace StreamsHost.Tests.Commands;

/// <summary><c>connect</c> between pipes, with our servers, raw sockets and the peers that others use.</summary>
public sealed class ConnectTests : IDisposable
{
    private readonly AuthorityFiles _authority = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Connect_BinaryBothWays_ArrivesWholeAndItsEndToo()
    {
        await using ByteStreamServer server = await EchoAsync();
        // More than all buffers on the way together.
        byte[] bytes = RandomNumberGenerator.GetBytes(64 << 20);

        CliResult result = await Cli.RunAsync(new CliStart { Input = bytes }, "connect", $"tcp://{server.EndPoints[0]}");

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
        Assert.True(bytes.AsSpan().SequenceEqual(result.Bytes), $"{result.Bytes.Length} of {bytes.Length} bytes have come back, or others");
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_OutputIsAFile_AppendsToIt()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "sh is there on a Unix system");
        await using ByteStreamServer server = await EchoAsync();
        string file = Path.Combine(_authority.Folder, "out");
        using Process shell = Process.Start("sh", ["-c", "(echo one; echo two | \"$0\" connect \"$1\"; echo three) > \"$2\"", Cli.Program, $"tcp://{server.EndPoints[0]}", file]);

        await shell.WaitForExitAsync(Cancel);

        Assert.Equal("one\ntwo\nthree\n", await File.ReadAllTextAsync(file, Cancel));
    }

    [Theory(Timeout = 120000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Connect_UnixSocket_ByPathAndByName(bool isAbstract)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the abstract namespace is Linux's");
        string path = isAbstract ? "@connect-" + Guid.NewGuid() : Path.Combine(_authority.Folder, "c.sock");
        await using ByteStreamServer server = await ByteStream.StartUnixServerAsync(EchoBytesAsync, path, cancellationToken: Cancel);

        CliResult result = await Cli.RunAsync(new CliStart { Input = "hello\n"u8.ToArray() }, "connect", "unix:" + path);

        Assert.Equal((0, "hello\n", string.Empty), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_Crlf_IsSentForEachLineOnce()
    {
        await using ByteStreamServer server = await EchoAsync();

        CliResult result = await Cli.RunAsync(new CliStart { Input = "one\ntwo\r\n\nlast"u8.ToArray() }, "connect", $"tcp://{server.EndPoints[0]}", "--crlf");

        Assert.Equal((0, "one\r\ntwo\r\n\r\nlast"), (result.ExitCode, result.Output));
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_PeerEndsFirst_EndsAlthoughItsInputIsOpen()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            (_, writer) =>
            {
                writer.Write("bye\n");
                return Task.CompletedTask;
            }, "127.0.0.1", 0, cancellationToken: Cancel);
        using Process process = Cli.Start(new CliStart(), "connect", $"tcp://{server.EndPoints[0]}");

        Assert.Equal("bye\n", await process.StandardOutput.ReadToEndAsync(Cancel));
        await process.WaitForExitAsync(Cancel);
        Assert.Equal(0, process.ExitCode);
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_PeerResets_GivesOutWhatCameAndExitsWith1()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using Process process = Cli.Start(new CliStart(), "connect", $"tcp://{listener.LocalEndPoint}");
        using (Socket accepted = await listener.AcceptAsync(Cancel))
        {
            await accepted.SendAsync("half\n"u8.ToArray(), Cancel);
            Assert.Equal("half", await process.StandardOutput.ReadLineAsync(Cancel));
            accepted.LingerState = new LingerOption(true, 0);
        }

        Assert.Equal($"tcp://{listener.LocalEndPoint}: The connection was reset by the peer.{Environment.NewLine}", await process.StandardError.ReadToEndAsync(Cancel));
        await process.WaitForExitAsync(Cancel);
        Assert.Equal(1, process.ExitCode);
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_PeerClosesAndReadsNoMore_FailsAfterFiveSeconds()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using Process process = Cli.Start(new CliStart(), "connect", $"tcp://{listener.LocalEndPoint}");
        Task<Exception?> input = Record.ExceptionAsync(() => process.StandardInput.BaseStream.WriteAsync(new byte[64 << 20], Cancel).AsTask()).AsTask();
        using Socket accepted = await listener.AcceptAsync(Cancel);
        // Until nothing moves any more: what it has read and cannot send is what it waits with at the end.
        for (int calm = 0, before = -1; calm < 10; calm = accepted.Available == before && before > 0 ? calm + 1 : 0)
        {
            before = accepted.Available;
            await Task.Delay(100, Cancel);
        }

        long began = Stopwatch.GetTimestamp();
        accepted.Shutdown(SocketShutdown.Send);

        Assert.Equal(
            $"tcp://{listener.LocalEndPoint}: the peer closed and does not read the remaining bytes.{Environment.NewLine}",
            await process.StandardError.ReadToEndAsync(Cancel));
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.FromSeconds(4.5), TimeSpan.FromSeconds(60));
        await process.WaitForExitAsync(Cancel);
        Assert.Equal(1, process.ExitCode);
        await input;
    }

    [Theory(Timeout = 120000)]
    [InlineData(TlsVersion.Tls12)]
    [InlineData(TlsVersion.Tls13)]
    public async Task Connect_ServerRequiresACertificateAndNoneIsGiven_FailsAndNamesTheOptions(TlsVersion version)
    {
        var options = new ByteStreamServerOptions();
        options.UseTls(tls =>
        {
            tls.Certificates.Add(_authority.Write("localhost"));
            (tls.ClientCertificates, tls.ClientCaPath) = (ClientCertificates.Require, _authority.CaPath);
            (tls.MinimumVersion, tls.MaximumVersion) = (version, version);
        });
        await using ByteStreamServer server = await ByteStream.StartServerAsync(EchoBytesAsync, "127.0.0.1", 0, options, Cancel);
        string url = $"tls://localhost:{((IPEndPoint)server.EndPoints[0]).Port}";

        CliResult refused = await Cli.RunAsync(new CliStart { Input = "hello\n"u8.ToArray() }, "connect", url, "--ca", _authority.CaPath);

        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("The server requested a client certificate and none was given: add one with --cert and --key.", refused.Errors, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_InputCannotBeRead_FailsAndAbortsTheConnection()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "a folder can be opened on a Unix system");
        var end = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, _, stopping) => end.SetResult(await Record.ExceptionAsync(async () => await reader.ReadAsync(cancellationToken: stopping))),
            "127.0.0.1", 0, cancellationToken: Cancel);
        using Process shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" connect \"$1\" </", Cli.Program, $"tcp://{server.EndPoints[0]}"])
        {
            RedirectStandardError = true,
        })!;

        Assert.Equal($"standard input: Is a directory{Environment.NewLine}", await shell.StandardError.ReadToEndAsync(Cancel));
        await shell.WaitForExitAsync(Cancel);
        Assert.Equal(1, shell.ExitCode);
        Assert.IsType<ConnectionResetException>(await end.Task.WaitAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_NamesInACertificateWithControlCharacters_AreEscaped()
    {
        using X509Certificate2 certificate = _authority.Authority.Issue("a\u001b[31mb", ["localhost"], purpose: TestAuthority.ForServers);
        File.WriteAllText(_authority.Folder + "/red.crt", certificate.ExportCertificatePem());
        File.WriteAllText(_authority.Folder + "/red.key", certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        var options = new ByteStreamServerOptions();
        options.UseTls(tls => tls.Certificates.Add(new TlsCertificateOptions { Path = _authority.Folder + "/red.crt", KeyPath = _authority.Folder + "/red.key" }));
        await using ByteStreamServer server = await ByteStream.StartServerAsync(EchoBytesAsync, "127.0.0.1", 0, options, Cancel);

        CliResult result = await Cli.RunAsync("connect", $"tls://localhost:{((IPEndPoint)server.EndPoints[0]).Port}", "--ca", _authority.CaPath, "--verbose");

        Assert.Equal(0, result.ExitCode);
        Assert.Contains(@"certificate CN=a\u{1B}[31mb, issued by ", result.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', result.Errors);
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_ItsOutputIsNotRead_Exits()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "a pipe that breaks is a Unix system's");
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (_, writer, stopping) =>
            {
                while (!stopping.IsCancellationRequested)
                {
                    writer.Write(new byte[65536]);
                    await writer.DrainAsync(stopping);
                }
            }, "127.0.0.1", 0, cancellationToken: Cancel);
        using Process process = Cli.Start(new CliStart(), "connect", $"tcp://{server.EndPoints[0]}");
        await process.StandardOutput.BaseStream.ReadExactlyAsync(new byte[1000], Cancel);

        process.StandardOutput.Close();

        await process.WaitForExitAsync(Cancel);
        Assert.Equal((141, string.Empty), (process.ExitCode, await process.StandardError.ReadToEndAsync(Cancel)));
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_Interrupted_ExitsWith130()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals need a Unix system");
        await using ByteStreamServer server = await EchoAsync();
        using Process process = Cli.Start(new CliStart(), "connect", $"tcp://{server.EndPoints[0]}");
        await process.StandardInput.WriteAsync("there?\n");
        await process.StandardInput.FlushAsync(Cancel);
        Assert.Equal("there?", await process.StandardOutput.ReadLineAsync(Cancel));

        using (Process kill = Process.Start("kill", ["-INT", $"{process.Id}"]))
        {
            await kill.WaitForExitAsync(Cancel);
        }

        await process.WaitForExitAsync(Cancel);
        Assert.Equal((130, string.Empty), (process.ExitCode, await process.StandardError.ReadToEndAsync(Cancel)));
    }

    [Theory(Timeout = 120000)]
    [InlineData("Connection refused (127.0.0.1:1)", "tcp://127.0.0.1:1")]
    [InlineData("there is no such socket.", "unix:/no/such.sock")]
    public async Task Connect_NoListener_IsOneLineAndExitCode1(string reason, string url)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the messages are those of a Unix system");

        CliResult result = await Cli.RunAsync("connect", url);

        Assert.Equal((1, string.Empty, $"{url}: {reason}\n"), (result.ExitCode, result.Output, result.Errors));
    }

    [Theory(Timeout = 120000)]
    [InlineData("Required argument missing for command: 'connect'. See StreamsHost connect --help.")]
    [InlineData("URL: 'fd:web' can be listened on, and not connected to. Write a host and a port other than 0.", "fd:web")]
    [InlineData("URL: 'echo' has no known scheme. Write tcp://host:port, tls://host:port, unix:/path or unix:@name.", "echo")]
    [InlineData("URL: 'tcp://*:7' can be listened on, and not connected to. Write a host and a port other than 0.", "tcp://*:7")]
    [InlineData("URL: 'tcp://127.0.0.1' has no port. Write tcp://host:port.", "tcp://127.0.0.1")]
    [InlineData("URL: 'tcp://127.0.0.1:0' can be listened on, and not connected to. Write a host and a port other than 0.", "tcp://127.0.0.1:0")]
    [InlineData("--alpn needs TLS, which 'tcp://127.0.0.1:7' does not use. Write tls://host:port, or add --tls.", "tcp://127.0.0.1:7", "--alpn", "x")]
    [InlineData("--key needs --cert, the certificate that it belongs to.", "tls://127.0.0.1:7", "--key", "x.key")]
    [InlineData("--insecure accepts any certificate, and --ca only some. Remove one of them.", "tls://127.0.0.1:7", "--insecure", "--ca", "x")]
    [InlineData("--server-name is missing: a Unix socket has no host whose name the certificate could have.", "unix:/x", "--tls")]
    [InlineData("--timeout: '5' is not valid. It takes a time such as 10s or 500ms, 1h at most. See StreamsHost connect --help.", "tcp://127.0.0.1:7", "--timeout", "5")]
    [InlineData("connect takes no configuration keys, such as --Admin:Url.", "tcp://127.0.0.1:7", "--Admin:Url=x")]
    public async Task Connect_InvalidArgument_IsOneLineAndExitCode1(string message, params string[] arguments)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the messages are those of a Unix system");

        CliResult result = await Cli.RunAsync(["connect", .. arguments]);

        Assert.Equal((1, string.Empty, message + "\n"), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_MutualTls_PrintsTheNegotiatedParameters()
    {
        TlsCertificateOptions client = _authority.Write("client");
        await using ByteStreamServer server = await EchoAsync(tls =>
        {
            tls.ApplicationProtocols.Add("echo/1");
            tls.ClientCertificates = ClientCertificates.Require;
            tls.ClientCaPath = _authority.CaPath;
        });
        int port = ((IPEndPoint)server.EndPoints[0]).Port;

        CliResult result = await Cli.RunAsync(
            new CliStart { Input = "hello\n"u8.ToArray() },
            "connect", $"tls://localhost:{port}", "--ca", _authority.CaPath, "--cert", client.Path!, "--key", client.KeyPath!, "--alpn", "other,echo/1", "--verbose");

        Assert.Equal((0, "hello\n"), (result.ExitCode, result.Output));
        string[] lines = result.Errors.Split(Environment.NewLine);
        Assert.Matches($"^connected to 127\\.0\\.0\\.1:{port} from 127\\.0\\.0\\.1:[0-9]+$", lines[0]);
        Assert.Matches("^TLS 1\\.[23], TLS_[A-Z0-9_]+, application protocol echo/1$", lines[1]);
        Assert.Matches("^certificate CN=server, issued by CN=Test Authority, valid until [-0-9]+ [:0-9]+Z$", lines[2]);
        Assert.Equal(["the peer closed: 6 bytes sent, 6 bytes received", string.Empty], lines[3..]);
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_TlsThatIsNotTrusted_IsRefusedWithTheRemedyAndTakenWithAWarning()
    {
        await using ByteStreamServer server = await EchoAsync(_ => { });
        string url = $"tls://localhost:{((IPEndPoint)server.EndPoints[0]).Port}";

        CliResult refused = await Cli.RunAsync("connect", url);
        CliResult otherName = await Cli.RunAsync("connect", url, "--ca", _authority.CaPath, "--server-name", "other.example");
        CliResult insecure = await Cli.RunAsync(new CliStart { Input = "hello\n"u8.ToArray() }, "connect", url, "--insecure");

        Assert.Equal(1, refused.ExitCode);
        Assert.EndsWith($". Name its authority with --ca.{Environment.NewLine}", refused.Errors, StringComparison.Ordinal);
        Assert.Equal(1, otherName.ExitCode);
        Assert.EndsWith($". Give the name that it has with --server-name.{Environment.NewLine}", otherName.Errors, StringComparison.Ordinal);
        Assert.Equal(
            (0, "hello\n", $"warning: --insecure: the server's certificate is not verified; an attacker on the path may impersonate the server.{Environment.NewLine}"),
            (insecure.ExitCode, insecure.Output, insecure.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Connect_OpenSslServer_SpeaksWithIt()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/openssl"), "openssl is not installed");
        TlsCertificateOptions certificate = _authority.Write("localhost");
        // -rev sends each line back reversed.
        var start = new ProcessStartInfo("/usr/bin/openssl", ["s_server", "-accept", "127.0.0.1:0", "-rev", "-cert", certificate.Path!, "-key", certificate.KeyPath!])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        using Process server = Process.Start(start)!;
        try
        {
            string line;
            do
            {
                line = await server.StandardOutput.ReadLineAsync(Cancel) ?? throw new InvalidOperationException("openssl has ended.");
            }
            while (!line.StartsWith("ACCEPT ", StringComparison.Ordinal));

            string port = line[(line.LastIndexOf(':') + 1)..];
            using Process client = Cli.Start(new CliStart(), "connect", $"tls://localhost:{port}", "--ca", _authority.CaPath);
            await client.StandardInput.WriteAsync("abc\n");
            await client.StandardInput.FlushAsync(Cancel);
            Assert.Equal("cba", await client.StandardOutput.ReadLineAsync(Cancel));
            client.StandardInput.Close();
            await client.WaitForExitAsync(Cancel);
            Assert.Equal((0, string.Empty), (client.ExitCode, await client.StandardError.ReadToEndAsync(Cancel)));
        }
        finally
        {
            server.Kill();
        }
    }

    public void Dispose() => _authority.Dispose();

    private static async Task EchoBytesAsync(ByteStreamReader reader, ByteStreamWriter writer)
    {
        while (await reader.ReadAsync(65536) is { Length: > 0 } bytes)
        {
            writer.Write(bytes);
            await writer.DrainAsync();
        }
    }

    private Task<ByteStreamServer> EchoAsync(Action<TlsServerOptions>? tls = null)
    {
        var options = new ByteStreamServerOptions();
        if (tls is not null)
        {
            options.UseTls(server =>
            {
                server.Certificates.Add(_authority.Write("server"));
                tls(server);
            });
        }

        return ByteStream.StartServerAsync(EchoBytesAsync, "127.0.0.1", 0, options, Cancel);
    }
}

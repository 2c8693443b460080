using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using ByteStreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace StreamsHost.Tests.Admin;

/// <summary>The HTTP side of the host as its users run it.</summary>
public class AdminProcessTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Run_PortAndUnixSocket_AnswersOnBoth()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the file's mode is that of a Unix system");
        string folder = Directory.CreateTempSubdirectory("streamshost-").FullName;
        string path = Path.Combine(folder, "admin.sock");
        try
        {
            await using HostProcess host = HostProcess.Start($"--Admin:Url=http://127.0.0.1:0,unix:{path}", "--Admin:UnixSocketMode=0600");
            await host.WaitUntilUpAsync();
            using var tcp = new HttpClient();
            using HttpClient unix = OverUnix(path);

            Assert.Equal("ok\n", await tcp.GetStringAsync(new Uri($"{host.StatusAddresses[0]}/readyz"), Cancel));
            Assert.Equal("ok\n", await unix.GetStringAsync(new Uri("http://localhost/readyz"), Cancel));
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, new FileInfo(path).UnixFileMode);
            Assert.Equal($"http://unix:{path}", host.StatusAddresses[1]);

            host.Signal(PosixSignal.SIGTERM);
            Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
            Assert.False(File.Exists(path), "the socket's file is left behind");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact(Timeout = 120000)]
    public async Task Run_ChangesAllowedFromOtherMachines_WarnsOfIt()
    {
        await using HostProcess host = HostProcess.Start("--Admin:Url=http://127.0.0.1:0,http://*:0", "--Admin:AllowChanges=true");

        // The first that is told of, and so not the one on the loopback interface.
        string line;
        do
        {
            line = await host.ReadLineAsync();
        }
        while (!line.Contains("Admin:AllowChanges is true and ", StringComparison.Ordinal));

        Assert.Contains("Admin:AllowChanges is true and http://[::]:", line, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Run_RequestWithABodyThatNeverEnds_IsAnsweredAndTheBodyNotTaken()
    {
        const int Most = 256;
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", new Uri(host.StatusAddresses[0]).Port, Cancel);
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync("GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"u8.ToArray(), Cancel);
        byte[] status = new byte[15];
        await stream.ReadExactlyAsync(status, Cancel);
        Assert.Equal("HTTP/1.1 200 OK"u8.ToArray(), status);

        byte[] mebibyte = [.. "100000\r\n"u8, .. new byte[1 << 20], .. "\r\n"u8];
        int taken = 0;
        IOException ended = await Assert.ThrowsAsync<IOException>(async () =>
        {
            for (; taken < Most; taken++)
            {
                await stream.WriteAsync(mebibyte, Cancel);
            }
        });
        Assert.IsType<SocketException>(ended.InnerException);
    }

    [Fact(Timeout = 120000)]
    public async Task Run_StatusPageIsOpen_DoesNotHoldUpTheEnd()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals need a Unix system");
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();
        using var client = new HttpClient();
        using HttpResponseMessage events = await client.GetAsync(new Uri($"{host.StatusAddresses[0]}/events"), HttpCompletionOption.ResponseHeadersRead, Cancel);
        long began = TimeProvider.System.GetTimestamp();

        host.Signal(PosixSignal.SIGTERM);

        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
        Assert.InRange(TimeProvider.System.GetElapsedTime(began), TimeSpan.Zero, TimeSpan.FromSeconds(15));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F45")]
    public async Task Run_StatusPortInUse_ExitsWithOneMessageAndRemovesItsSocket()
    {
        await using ByteStreamServer taken = await ByteStream.StartServerAsync((_, _) => Task.CompletedTask, "127.0.0.1", 0, cancellationToken: Cancel);
        await using HostProcess host = HostProcess.Start($"--Admin:Url=http://{taken.EndPoints[0]}");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        string line = Assert.Single(errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith($"Admin:Url: {taken.EndPoints[0]} cannot be bound: the port is already in use.", line, StringComparison.Ordinal);
        Assert.False(File.Exists(host.SocketPath), "the endpoint's socket file is left behind");
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F45")]
    public async Task Run_ErrorsHereAndInEndpoints_AreReportedTogether()
    {
        await using HostProcess host = HostProcess.Start("--Admin:AllowChange=true", "--ByteStreams:Endpoints:echo:Lmit=1");

        (int exitCode, string errors) = await host.WaitForExitAsync();

        Assert.Equal(1, exitCode);
        Assert.Equal(
            ["Admin:AllowChange: there is no such key. Did you mean 'AllowChanges'?", "ByteStreams:Endpoints:echo:Lmit: there is no such key. Did you mean 'Limit'?"],
            errors.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
    }

    [Fact(Timeout = 120000)]
    public async Task Run_Disabled_ServesTheEndpointsAlone()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/proc tells what is listened on");
        await using HostProcess host = HostProcess.Start("--Admin:Enabled=false");
        await host.WaitUntilUpAsync();

        Assert.Empty(host.StatusAddresses);
        Assert.Equal(
            ((int[])[host.Port("chat"), host.Port("echo")]).Order(), host.ListeningPorts().Order());
        await using ByteStreamConnection connection = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);
        connection.Writer.Write("hello\n");
        Assert.Equal("hello\n"u8.ToArray(), await connection.Reader.ReadLineAsync(Cancel));
    }

    [Theory(Timeout = 120000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Run_OtlpEndpointInTheEnvironment_SendsMetricsAndTracesThere(bool noMetrics)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "env sets the variables");
        var metrics = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var traces = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using WebApplication collector = builder.Build();
        collector.MapPost("/v1/{signal}", async context =>
        {
            using var body = new MemoryStream();
            await context.Request.Body.CopyToAsync(body, Cancel);
            string text = Encoding.Latin1.GetString(body.ToArray());
            _ = context.Request.Path == "/v1/metrics" && text.Contains("bytestreams.accepted_connections", StringComparison.Ordinal) && metrics.TrySetResult();
            _ = context.Request.Path == "/v1/traces" && text.Contains("connection echo", StringComparison.Ordinal) && traces.TrySetResult();
        });
        await collector.StartAsync(Cancel);
        await using HostProcess host = HostProcess.StartUnder(
        [
            "/usr/bin/env", $"OTEL_EXPORTER_OTLP_ENDPOINT={collector.Urls.Single()}", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL=200", "OTEL_BSP_SCHEDULE_DELAY=100", $"OTEL_METRICS_EXPORTER={(noMetrics ? "none" : "otlp")}",
        ]);
        await host.WaitUntilUpAsync();
        await using (ByteStreamConnection connection = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel))
        {
            connection.Writer.Write("hello\n");
            Assert.Equal("hello\n"u8.ToArray(), await connection.Reader.ReadLineAsync(Cancel));
        }

        await traces.Task.WaitAsync(Cancel);
        if (!noMetrics)
        {
            await metrics.Task.WaitAsync(Cancel);
            return;
        }

        // What there is to send is sent at the end, at the latest.
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
        Assert.False(metrics.Task.IsCompleted);
    }

    private static HttpClient OverUnix(string path) => new(new SocketsHttpHandler
    {
        ConnectCallback = async (_, cancellationToken) =>
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        },
    });
}

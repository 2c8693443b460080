using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using ByteStreams;

namespace StreamsHost.Tests;

/// <summary>A standard output that is not read, or whose reader is gone.</summary>
public sealed partial class HostProcessOutputTests
{
    /// <summary>More than fill the pipe and the queue, and more than there are threads for handlers that block.</summary>
    private const int Clients = 1500;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 180000)]
    [Trait("Fault", "F81")]
    public async Task Run_StandardOutputIsNotRead_ServesCountsTheDropsAndEnds()
    {
        await using HostProcess host = HostProcess.Start("--Logging:Console:MaxQueueLength=50");
        await host.WaitUntilUpAsync();

        await EchoAsync(host, Clients);

        Assert.True(await DroppedAsync(host) > 0);
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal(0, await host.WaitForExitUnreadAsync());
    }

    [Fact(Timeout = 180000)]
    [Trait("Fault", "F81")]
    public async Task Run_StandardOutputIsReadAgain_ReportsTheDrops()
    {
        await using HostProcess host = HostProcess.Start("--Logging:Console:MaxQueueLength=50");
        await host.WaitUntilUpAsync();
        await EchoAsync(host, Clients);

        await host.WaitForLineAsync(" log messages were dropped: standard output");

        // And the log goes on.
        host.Signal(PosixSignal.SIGTERM);
        await host.WaitForLineAsync("Drained in ");
    }

    [Fact(Timeout = 180000)]
    [Trait("Fault", "F81")]
    public async Task Run_ReaderOfStandardOutputIsGone_ServesCountsTheDropsAndEnds()
    {
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();
        host.CloseOutput();

        await EchoAsync(host, 20);

        Assert.True(await DroppedAsync(host) > 0);
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal(0, await host.WaitForExitUnreadAsync());
    }

    private static async Task EchoAsync(HostProcess host, int clients)
    {
        for (int i = 0; i < clients; i++)
        {
            await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(IPAddress.Loopback.ToString(), host.Port("echo"), cancellationToken: Cancel);
            client.Writer.Write("hello\n"u8);
            Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
        }
    }

    private static async Task<long> DroppedAsync(HostProcess host)
    {
        using var http = new HttpClient();
        string metrics = await http.GetStringAsync(new Uri($"{host.StatusAddresses[0]}/metrics"), Cancel);
        return long.Parse(Dropped().Match(metrics).Groups[1].Value, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"^bytestreams_dropped_log_messages_total(?:\{[^}]*\})? (\d+)", RegexOptions.Multiline)]
    private static partial Regex Dropped();
}

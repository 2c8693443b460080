using System.Runtime.InteropServices;
using ByteStreams;
using ByteStreams.Interop.Tests;

namespace StreamsHost.Tests;

/// <summary>Signals that arrive in bursts, and signals that the host has no use for.</summary>
public sealed class HostProcessSignalTests
{
    private const string Sigusr1 = nameof(Sigusr1);
    private const string Sigusr2 = nameof(Sigusr2);

    public HostProcessSignalTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "signals are those of a Unix system");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory(Timeout = 120000)]
    [InlineData(PosixSignal.SIGTERM)]
    [InlineData(PosixSignal.SIGINT)]
    [Trait("Fault", "F43")]
    public async Task Sigterm_AnotherSignalAtOnce_DrainsAsWithOne(PosixSignal second)
    {
        await using HostProcess host = HostProcess.Start("--ByteStreams:DrainDelay=2s");
        await host.WaitUntilUpAsync();

        host.Signal(PosixSignal.SIGTERM);
        host.Signal(second);

        await AssertDrainsAsync(host);
    }

    [Fact(Timeout = 120000)]
    public async Task Sigint_TestsStartedInTheBackgroundOfAScript_EndsTheHost()
    {
        // As a script's background job has it, and as this test's launcher resets it.
        await using HostProcess host = HostProcess.StartUnder(["/bin/sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh", .. DefaultSignals.Reset]);
        await host.WaitUntilUpAsync();

        host.Signal(PosixSignal.SIGINT);

        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    [Fact(Timeout = 120000)]
    public async Task Sigterm_OfCoreutilsTimeout_DrainsAsWithOne()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/timeout"), "THE PEER IS MISSING: timeout (Debian: coreutils) is not installed, so nothing was tested with it.");
        // It passes a signal on to its child, and then to its process group, of which the child is a member.
        await using HostProcess host = HostProcess.StartUnder(["/usr/bin/timeout", "120"], "--ByteStreams:DrainDelay=2s");
        await host.WaitUntilUpAsync();

        host.Signal(PosixSignal.SIGTERM);

        await AssertDrainsAsync(host);
    }

    [Theory(Timeout = 120000)]
    [InlineData(Sigusr1)]
    [InlineData(Sigusr2)]
    [Trait("Fault", "F54")]
    public async Task UserSignal_WhileServing_IsIgnoredWithALineInTheLog(string name)
    {
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);

        host.Signal((name, OperatingSystem.IsMacOS()) switch
        {
            (Sigusr1, false) => 10,
            (Sigusr1, true) => 30,
            (_, false) => 12,
            (_, true) => 31,
        });

        await host.WaitForLineAsync($"{name.ToUpperInvariant()} is ignored.");
        client.Writer.Write("still served\n");
        Assert.Equal("still served\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
        await client.DisposeAsync();
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    /// <summary>Clients are served during <c>DrainDelay</c>, and the exit code is that of a clean drain.</summary>
    private static async Task AssertDrainsAsync(HostProcess host)
    {
        await host.WaitForLineAsync("Draining: the health check fails");
        await using (ByteStreamConnection late = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel))
        {
            late.Writer.Write("still served\n");
            Assert.Equal("still served\n"u8.ToArray(), await late.Reader.ReadLineAsync(Cancel));
        }

        await host.WaitForLineAsync("Draining: listeners closed");
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }
}

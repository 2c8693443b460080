using System.Diagnostics;
using System.Runtime.InteropServices;
using ByteStreams;
using ByteStreams.Testing;
using StreamsHost.Tests.Commands;

namespace StreamsHost.Tests;

/// <summary>Environments that lack what a program usually finds: a home directory, inotify instances, a readable file beside it.</summary>
public sealed class HostProcessEnvironmentTests : IDisposable
{
    /// <summary>A user without an entry in /etc/passwd, as <c>docker run --user 54321</c> and OpenShift have it, and no HOME.</summary>
    private static readonly string[] Homeless = ["/usr/bin/unshare", "--user", "--map-user=54321", "--map-group=54321", "env", "-u", "HOME"];

    private static readonly string[] WithoutInotify =
        ["/usr/bin/unshare", "--user", "--map-root-user", "sh", "-c", "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$0\" \"$@\""];

    private readonly AuthorityFiles _authority = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F55")]
    public async Task Run_UserWithoutHomeDirectory_ServesTls()
    {
        await SkipWithoutNamespacesAsync();
        await using HostProcess host = HostProcess.StartUnder(Homeless, Tls());
        await host.WaitUntilUpAsync(4);

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync(
            "localhost",
            host.Port("tls"),
            options: new ByteStreamClientOptions { Tls = new TlsClientOptions { CaPath = _authority.CaPath }.CreateAuthenticationOptions() },
            cancellationToken: Cancel);
        client.Writer.Write("served\n");
        Assert.Equal("served\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
        await client.DisposeAsync();
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    [Fact(Timeout = 120000)]
    public async Task Check_UserWithoutHomeDirectory_IsInOrder()
    {
        await SkipWithoutNamespacesAsync();

        CliResult result = await Cli.RunUnderAsync(Homeless, new CliStart(), ["check", .. Tls()]);

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Run_TwoProcessors_ThreadsShareTheHeapsOfTheCLibrary()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && !RuntimeInformation.RuntimeIdentifier.Contains("musl"), "Needs glibc.");
        Assert.SkipUnless(Environment.ProcessorCount <= 4, "On more processors there are fewer threads than heaps.");
        await using HostProcess limited = HostProcess.Start();
        await using HostProcess chosen = HostProcess.StartUnder(["/usr/bin/env", "MALLOC_ARENA_MAX=64"]);
        await limited.WaitUntilUpAsync(3);
        await chosen.WaitUntilUpAsync(3);

        // Those of the threads that the runtime starts before the program's first line remain.
        Assert.InRange(limited.NativeHeaps, 0, chosen.NativeHeaps / 2);
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F55")]
    public async Task Run_NoInotifyInstance_PollsItsFileAndWarnsOnce()
    {
        await SkipWithoutNamespacesAsync();
        await using HostProcess host = HostProcess.StartUnder(WithoutInotify);

        string line = await host.ReadLineAsync();

        Assert.Contains("\"LogLevel\":\"Warning\"", line, StringComparison.Ordinal);
        Assert.Contains("appsettings.json is polled every second: this user has no inotify instance left", line, StringComparison.Ordinal);
        await host.WaitUntilUpAsync();
        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());
    }

    [Theory(Timeout = 120000)]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Check_NoInotifyInstance_IsInOrder(bool isNamed)
    {
        await SkipWithoutNamespacesAsync();
        string[] arguments = isNamed ? ["check", "--config", await GoodAsync()] : ["check"];

        CliResult result = await Cli.RunUnderAsync(WithoutInotify, new CliStart(), arguments);

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Theory(Timeout = 120000)]
    [InlineData("{")]
    [InlineData("""{ "Logging": { "LogLevel": { "Default": "Loud" } } }""")]
    public async Task Check_BrokenFileBesideTheProgram_DoesNotMatterToANamedOne(string broken)
    {
        string program = Installed();
        await File.WriteAllTextAsync(Path.Combine(Path.GetDirectoryName(program)!, "appsettings.json"), broken, Cancel);

        CliResult result = await Cli.RunUnderAsync([], new CliStart { Program = program }, "check", "--config", await GoodAsync());

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    public void Dispose() => _authority.Dispose();

    /// <summary>The program in a folder of its own, whose libraries are links.</summary>
    private string Installed()
    {
        string from = Path.GetDirectoryName(Cli.Program)!;
        string to = Directory.CreateDirectory(Path.Combine(_authority.Folder, "program")).FullName;
        foreach (string file in Directory.GetFiles(from))
        {
            string name = Path.GetFileName(file);
            if (name.StartsWith("StreamsHost", StringComparison.Ordinal))
            {
                File.Copy(file, Path.Combine(to, name));
            }
            else if (name.EndsWith(".dll", StringComparison.Ordinal))
            {
                File.CreateSymbolicLink(Path.Combine(to, name), file);
            }
        }

        return Path.Combine(to, Path.GetFileName(Cli.Program));
    }

    private static async Task SkipWithoutNamespacesAsync()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "users without a home and inotify limits are those of Linux");
        using Process? trial = File.Exists("/usr/bin/unshare") ? Process.Start("/usr/bin/unshare", ["--user", "--map-user=54321", "true"]) : null;
        await (trial?.WaitForExitAsync(Cancel) ?? Task.CompletedTask);
        Assert.SkipUnless(trial?.ExitCode == 0, "USER NAMESPACES ARE MISSING: unshare --user (Debian: util-linux) is not allowed here, so nothing was tested.");
    }

    private async Task<string> GoodAsync()
    {
        string file = Path.Combine(_authority.Folder, "good.json");
        await File.WriteAllTextAsync(file, """{ "ByteStreams": { "Endpoints": { "a": { "Url": "tcp://127.0.0.1:0", "Handler": "echo" } } } }""", Cancel);
        return file;
    }

    private string[] Tls()
    {
        TlsCertificateOptions certificate = _authority.Write("localhost");
        const string endpoint = "--ByteStreams:Endpoints:tls";
        return
        [
            $"{endpoint}:Url=tls://127.0.0.1:0",
            $"{endpoint}:Handler=echo",
            $"{endpoint}:Tls:Certificates:0:Path={certificate.Path}",
            $"{endpoint}:Tls:Certificates:0:KeyPath={certificate.KeyPath}",
        ];
    }
}

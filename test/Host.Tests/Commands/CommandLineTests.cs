using System.Runtime.InteropServices;
using ByteStreams;

namespace StreamsHost.Tests.Commands;

/// <summary>What the arguments mean, and what is told of those that mean nothing.</summary>
public sealed class CommandLineTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-cli-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory(Timeout = 120000)]
    [InlineData("'rnu' is no command of StreamsHost. Did you mean 'run'?", "rnu")]
    [InlineData("'fortify' is no command of StreamsHost. See StreamsHost --help.", "fortify")]
    [InlineData("'--congif' is no option of StreamsHost. Did you mean '--config'?", "--congif", "x.json")]
    [InlineData("'--SecretsDirectry' is no option of StreamsHost run. Did you mean '--SecretsDirectory'?", "run", "--SecretsDirectry=/x")]
    [InlineData("'extra' is no argument of StreamsHost run. See StreamsHost run --help.", "run", "extra")]
    [InlineData("'@file' is no command of StreamsHost. See StreamsHost --help.", "@file")]
    [InlineData("--ByteStraems:MaxConnections: there is no section 'ByteStraems'. Did you mean 'ByteStreams'?", "--ByteStraems:MaxConnections", "1")]
    [InlineData("--ByteStreams:MaxConnections has no value. Write --ByteStreams:MaxConnections=value.", "--ByteStreams:MaxConnections")]
    [InlineData("Required argument missing for option: '--config'. See StreamsHost --help.", "--config")]
    [InlineData("--config: there is no file '/no/such.json'. Check the path; a relative path starts in the current folder.", "run", "--config", "/no/such.json")]
    [InlineData("--config: there is no file '/no/such.json'. Check the path; a relative path starts in the current folder.", "--config=/no/such.json", "run")]
    [InlineData("--config: '/usr' is a folder. Give the file in it.", "--config=/usr")]
    public async Task Parse_InvalidArgument_IsOneLineAndExitCode1(string message, params string[] arguments)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the paths are those of a Unix system");

        CliResult result = await Cli.RunAsync(arguments);

        Assert.Equal((1, string.Empty, message + Environment.NewLine), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Parse_FileThatIsNoJson_ReportsThePositionOfTheError()
    {
        string file = await WriteAsync("""
            {
              "ByteStreams": {
                oops
            """);

        CliResult result = await Cli.RunAsync("--config", file);

        Assert.Equal(1, result.ExitCode);
        string line = Assert.Single(result.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.StartsWith($"Failed to load configuration from file '{file}'.", line, StringComparison.Ordinal);
        Assert.EndsWith(" Line 3, byte 5.", line, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Version_Always_IsThatOfTheBuild()
    {
        CliResult result = await Cli.RunAsync("--version");

        // The commit is there where the build knew it.
        Assert.Matches(@"^\d+\.\d+\.\d+(\+[0-9a-f]{40})?\r?\n$", result.Output);
        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F46")]
    public async Task Config_FileNamed_IsReadInPlaceOfTheShippedOneAndFollowed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals need a Unix system");
        string file = await WriteAsync(Named("echo"));
        await using HostProcess host = HostProcess.StartAlone("run", "--config", file, "--Admin:Url", "http://127.0.0.1:0");
        // One, although the shipped file has three.
        await host.WaitUntilUpAsync(1);
        Assert.Equal(["named"], host.Announced.Keys);
        await using (ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("named"), cancellationToken: Cancel))
        {
            client.Writer.Write("hello\n");
            Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
        }

        // Polling compares times, and both were perhaps written within one tick of the file system's clock.
        File.SetLastWriteTimeUtc(file, DateTime.UtcNow.AddMinutes(-1));
        await WriteAsync(Named("discard"));
        await host.WaitForLineAsync("Endpoint named was changed");

        host.Signal(PosixSignal.SIGTERM);
        Assert.Equal((0, string.Empty), await host.WaitForExitAsync());

        static string Named(string handler) =>
            $$"""{ "ByteStreams": { "Endpoints": { "named": { "Url": "tcp://127.0.0.1:0", "Handler": "{{handler}}" } } } }""";
    }

    [Fact(Timeout = 120000)]
    public async Task Log_FormatterOfPeople_IsInLines()
    {
        await using HostProcess host = HostProcess.Start("--Logging:Console:FormatterName=simple");

        string line = await host.ReadLineAsync();

        Assert.Matches("^[0-9]{2}:[0-9]{2}:[0-9]{2} info: ByteStreams.Hosting\\[501\\] All endpoints together take [0-9]+ connections", line);
        while (!(line = await host.ReadLineAsync()).StartsWith("echo ", StringComparison.Ordinal))
        {
        }

        Assert.Matches("^echo         tcp://127.0.0.1:([0-9]+) +try: nc 127.0.0.1 \\1$", line);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private async Task<string> WriteAsync(string text)
    {
        string file = Path.Combine(_folder, "settings.json");
        await File.WriteAllTextAsync(file, text, Cancel);
        return file;
    }
}

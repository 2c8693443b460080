using ByteStreams;

namespace StreamsHost.Tests.Commands;

public class BenchTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Bench_OurHost_PrintsRateAndPercentiles()
    {
        await using HostProcess host = HostProcess.Start();
        await host.WaitUntilUpAsync();

        CliResult result = await Cli.RunAsync(
            "bench", $"tcp://127.0.0.1:{host.Port("echo")}", "--connections", "4", "--size", "100", "--depth", "3", "--duration", "4s");

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
        string[] lines = result.Output.Split(Environment.NewLine);
        Assert.Equal($"tcp://127.0.0.1:{host.Port("echo")}: 4 connections, 100 bytes, depth 3, 4.0 s", lines[0]);
        Assert.Matches("^answers  [1-9][0-9,]*, [1-9][0-9,]* a second, [0-9,.]+ MB/s each way$", lines[1]);
        Assert.Matches("^latency  p50 [0-9.]+ (us|ms), p99 [0-9.]+ (us|ms), p99.9 [0-9.]+ (us|ms), max [0-9.]+ (us|ms)$", lines[2]);
        Assert.Equal(["errors   0", string.Empty], lines[3..]);
    }

    [Fact(Timeout = 120000)]
    public async Task Bench_AnswerIsNoEcho_IsAnErrorForEachConnection()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, writer) =>
            {
                byte[] message = await reader.ReadExactlyAsync(8);
                message[3] ^= 1;
                writer.Write(message);
                await reader.ReadAsync();
            }, "127.0.0.1", 0, cancellationToken: Cancel);

        CliResult result = await Cli.RunAsync("bench", $"tcp://{server.EndPoints[0]}", "--connections", "2", "--size", "8", "--duration", "10s");

        Assert.Equal((1, $"tcp://{server.EndPoints[0]}: a response was not an echo (2 times){Environment.NewLine}"), (result.ExitCode, result.Errors));
        Assert.EndsWith($"errors   2{Environment.NewLine}", result.Output, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Bench_NoAnswer_IsBounded()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(
            async (reader, _) => await reader.ReadAsync(), "127.0.0.1", 0, cancellationToken: Cancel);

        CliResult result = await Cli.RunAsync("bench", $"tcp://{server.EndPoints[0]}", "--connections", "2", "--duration", "100ms", "--timeout", "5s");

        Assert.Equal((1, $"tcp://{server.EndPoints[0]}: no response within 5 s of the end (2 times){Environment.NewLine}"), (result.ExitCode, result.Errors));
    }

    [Theory(Timeout = 120000)]
    [InlineData("--size: '0' is not valid. It takes a whole number from 1 to 1048576. See StreamsHost bench --help.", "--size", "0")]
    [InlineData("--connections: 'many' is not valid. It takes a whole number from 1 to 10000. See StreamsHost bench --help.", "--connections", "many")]
    [InlineData("--duration: '2h' is not valid. It takes a time such as 10s or 500ms, 1h at most. See StreamsHost bench --help.", "--duration", "2h")]
    public async Task Bench_OutOfRange_IsOneLineAndExitCode1(string message, params string[] arguments)
    {
        CliResult result = await Cli.RunAsync(["bench", "tcp://127.0.0.1:1", .. arguments]);

        Assert.Equal((1, string.Empty, message + Environment.NewLine), (result.ExitCode, result.Output, result.Errors));
    }
}

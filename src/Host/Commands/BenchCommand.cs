using System.CommandLine;
using System.Diagnostics;

namespace StreamsHost.Commands;

/// <summary>
/// A bounded load on an echo: each connection sends messages, awaits as many bytes back and sends the next. That is a closed loop: a
/// server that stalls is asked less meanwhile, so that the percentiles are of the answers, and not of what clients that come at
/// their own pace would have waited (coordinated omission).
/// </summary>
internal sealed class BenchCommand : HostSubcommand
{
    private readonly ClientArguments _client;
    private readonly ValueOption<int> _connections = ValueOptions.Number("--connections", 1, 10000, 50, "How many connections.");
    private readonly ValueOption<int> _size = ValueOptions.Number("--size", 1, 1 << 20, 64, "Bytes of a message, of which the last is a line's end.");
    private readonly ValueOption<int> _depth = ValueOptions.Number("--depth", 1, 1024, 1, "Messages that each connection has on their way at once.");
    private readonly ValueOption<TimeSpan> _duration = ValueOptions.Time("--duration", TimeSpan.FromHours(1), TimeSpan.FromSeconds(10), "How long messages are sent.");

    public BenchCommand()
        : base(
            "bench",
            "Measures an echo: messages a second, and how long answers take. Any error makes the exit code 1.",
            "bench tcp://127.0.0.1:7007",
            "bench unix:/run/app/app.sock --connections 200 --size 1024 --depth 4 --duration 30s",
            "bench tls://127.0.0.1:7443 --ca ca.pem --server-name app.example")
    {
        _client = new ClientArguments(this, TimeSpan.FromSeconds(5));
        foreach (Option option in (Option[])[_connections, _size, _depth, _duration])
        {
            Add(option);
        }

        SetAction(RunAsync);
    }

    public override bool TakesConfiguration => false;

    private async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        Client client = _client.Read(parsed);
        var load = new EchoLoad(client, _connections.Of(parsed), _size.Of(parsed), _depth.Of(parsed), _client.Timeout.Of(parsed));
        TimeSpan duration = _duration.Of(parsed);
        long began = Stopwatch.GetTimestamp();
        using (new ProgressBar(() => (Stopwatch.GetElapsedTime(began) / duration, load.Answers)))
        {
            await load.RunAsync(duration, cancellationToken);
        }

        load.Report(parsed.InvocationConfiguration.Output);
        return load.Failures > 0 ? CommandLine.Tell(load.Errors) : 0;
    }
}

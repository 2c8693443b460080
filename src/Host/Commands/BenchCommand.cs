using System.CommandLine;
using System.Diagnostics;

namespace StreamsHost.Commands;

/// <summary>
/// A load on an echo server: each connection sends messages, waits for the same number of bytes, and sends the next. This is a closed loop: a
/// stalled server receives fewer messages meanwhile, so that the percentiles are subject to coordinated omission.
/// </summary>
internal sealed class BenchCommand : HostSubcommand
{
    private readonly ClientArguments _client;
    private readonly ValueOption<int> _connections = ValueOptions.Number("--connections", 1, 10000, 50, "The number of connections.");
    private readonly ValueOption<int> _size = ValueOptions.Number("--size", 1, 1 << 20, 64, "The size of a message in bytes, with its line feed.");
    private readonly ValueOption<int> _depth = ValueOptions.Number("--depth", 1, 1024, 1, "The number of messages in flight per connection.");
    private readonly ValueOption<TimeSpan> _duration = ValueOptions.Time("--duration", TimeSpan.FromHours(1), TimeSpan.FromSeconds(10), "How long messages are sent.");

    public BenchCommand()
        : base(
            "bench",
            "Measures an echo server: messages per second and response times. Exits with 1 after any error.",
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
        var load = new EchoLoad(client, _connections.GetValue(parsed), _size.GetValue(parsed), _depth.GetValue(parsed), _client.Timeout.GetValue(parsed));
        TimeSpan duration = _duration.GetValue(parsed);
        long began = Stopwatch.GetTimestamp();
        using (new ProgressBar(() => (Stopwatch.GetElapsedTime(began) / duration, load.Answers)))
        {
            await load.RunAsync(duration, cancellationToken);
        }

        load.Report(parsed.InvocationConfiguration.Output);
        return load.Failures > 0 ? CommandLine.Report(load.Errors) : 0;
    }
}

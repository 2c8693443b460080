using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using ByteStreams;

namespace StreamsHost.Tests;

/// <summary>What a reload leaves in metrics and at <c>/endpoints</c>.</summary>
public sealed partial class HostProcessReloadTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-").FullName;

    public HostProcessReloadTests() => Assert.SkipWhen(OperatingSystem.IsWindows(), "SIGHUP is a signal of a Unix system");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private string File => Path.Combine(_folder, "host.json");

    [Fact(Timeout = 180000)]
    public async Task Metrics_EndpointsRemovedByReloads_EndWithTheirLastConnection()
    {
        const int Reloads = 20;
        Write(0);
        await using HostProcess host = await StartAsync();
        await AskAsync(host.Port("first"));
        await AskAsync(host.Port("kept"));
        for (int i = 1; i <= Reloads; i++)
        {
            Write(i);
            host.Signal(PosixSignal.SIGHUP);
            await host.WaitForLineAsync("SIGHUP: configuration and certificates reloaded");
        }

        using var http = new HttpClient();
        string[] expected = ["kept", $"other{Reloads}"];
        string metrics = await Patience.UntilAsync(() => MetricsAsync(host, http), now => Names(now).SequenceEqual(expected));

        // The totals of the others go on.
        Assert.Matches(@"(?m)^bytestreams_accepted_connections_total\{[^}]*bytestreams_endpoint=""kept""[^}]*\} 1\b", metrics);
    }

    [Fact(Timeout = 180000)]
    public async Task Endpoints_ReloadFailsAndSucceeds_TellItsTimeAndOutcome()
    {
        Write(0);
        await using HostProcess host = await StartAsync();
        using var http = new HttpClient();
        JsonElement start = await LastReloadAsync(host, http);
        Assert.True(start.GetProperty("ok").GetBoolean());

        await System.IO.File.WriteAllTextAsync(File, """{ "ByteStreams": { "Endpoints": { "kept": { "Url": "tcp://x", "Handler": "ecko" } } }, "Admin": { "Url": "http://127.0.0.1:0" } }""", Cancel);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: configuration reload rejected with 2 errors");
        JsonElement failed = await LastReloadAsync(host, http);
        Assert.False(failed.GetProperty("ok").GetBoolean());
        Assert.Equal(2, failed.GetProperty("errors").GetInt32());
        Assert.StartsWith("ByteStreams:Endpoints:kept:Url: 'tcp://x' has no port.", failed.GetProperty("firstError").GetString(), StringComparison.Ordinal);
        Assert.True(failed.GetProperty("time").GetDateTimeOffset() >= start.GetProperty("time").GetDateTimeOffset());
        await WaitForMetricAsync(host, http, "bytestreams_config_last_reload_successful", value => value == 0);

        await System.IO.File.WriteAllTextAsync(File, "{ not JSON", Cancel);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: the configuration cannot be read");
        Assert.Equal(1, (await LastReloadAsync(host, http)).GetProperty("errors").GetInt32());

        Write(0);
        host.Signal(PosixSignal.SIGHUP);
        await host.WaitForLineAsync("SIGHUP: configuration and certificates reloaded");
        Assert.True((await LastReloadAsync(host, http)).GetProperty("ok").GetBoolean());
        await WaitForMetricAsync(host, http, "bytestreams_config_last_reload_successful", value => value == 1);
        double now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        await WaitForMetricAsync(host, http, "bytestreams_config_last_reload_success_timestamp_seconds", value => Math.Abs(value - now) < 60);

        host.Signal(PosixSignal.SIGTERM);
        string drained;
        do
        {
            drained = await host.ReadLineAsync();
        }
        while (!drained.Contains("Drained in ", StringComparison.Ordinal));

        Assert.Matches(@"Drained in \d+(\.\d{1,3})? s:", drained);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task<JsonElement> LastReloadAsync(HostProcess host, HttpClient http)
    {
        using JsonDocument answer = JsonDocument.Parse(await http.GetStringAsync(new Uri($"{host.StatusAddresses[0]}/endpoints"), Cancel));
        return answer.RootElement.GetProperty("lastReload").Clone();
    }

    /// <summary>Waits for the next scrape that is not cached.</summary>
    private static Task<double> WaitForMetricAsync(HostProcess host, HttpClient http, string name, Func<double, bool> isExpected) => Patience.UntilAsync(
        async () =>
        {
            string metrics = await MetricsAsync(host, http);
            Match value = Regex.Match(metrics, $@"(?m)^{name}(?:\{{[^}}]*\}})? (\S+)");
            Assert.True(value.Success, metrics);
            return double.Parse(value.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        },
        isExpected,
        awaited: name);

    private static Task<string> MetricsAsync(HostProcess host, HttpClient http) => http.GetStringAsync(new Uri($"{host.StatusAddresses[0]}/metrics"), Cancel);

    private static IEnumerable<string> Names(string metrics) =>
        EndpointLabel().Matches(metrics).Select(label => label.Groups[1].Value).Distinct().Order(StringComparer.Ordinal);

    private static async Task AskAsync(int port)
    {
        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", port, cancellationToken: Cancel);
        client.Writer.Write("hello\n"u8);
        Assert.Equal("hello\n"u8.ToArray(), await client.Reader.ReadLineAsync(Cancel));
    }

    private async Task<HostProcess> StartAsync()
    {
        HostProcess host = HostProcess.StartAlone("--config", File);
        await host.WaitUntilUpAsync(2);
        return host;
    }

    /// <summary>An endpoint that stays, and one that is another each time.</summary>
    private void Write(int version) => System.IO.File.WriteAllText(File, $$"""
        {
          "Admin": { "Url": "http://127.0.0.1:0" },
          "ByteStreams": {
            "Endpoints": {
              "kept": { "Url": "tcp://127.0.0.1:0", "Handler": "echo" },
              "{{(version == 0 ? "first" : $"other{version}")}}": { "Url": "tcp://127.0.0.1:0", "Handler": "echo" }
            }
          }
        }
        """);

    [GeneratedRegex("bytestreams_endpoint=\"([^\"]+)\"")]
    private static partial Regex EndpointLabel();
}

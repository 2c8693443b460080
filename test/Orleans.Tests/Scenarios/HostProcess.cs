using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace ByteStreams.Cluster.Tests.Scenarios;

/// <summary>A cluster host: a process of test/Orleans.Host.</summary>
internal sealed partial class HostProcess : IAsyncDisposable
{
    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(5) };

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _output = new();
    private readonly ConcurrentDictionary<string, int> _reasons = new();
    private readonly Task _reading;
    private long _signaledAt = long.MaxValue;

    private HostProcess(Process process, HostPorts ports)
    {
        _process = process;
        At = ports;
        _reading = Task.WhenAll(ReadAsync(process.StandardOutput), ReadAsync(process.StandardError));
    }

    public HostPorts At { get; }

    public EndPoint EndPoint => new IPEndPoint(IPAddress.Loopback, At.Clients);

    /// <summary>The <see cref="Stopwatch"/> timestamp of the first signal; <see cref="long.MaxValue"/> before it.</summary>
    public long SignaledAt => Volatile.Read(ref _signaledAt);

    /// <summary>Whether the host was not signaled.</summary>
    public bool IsAlive => SignaledAt == long.MaxValue;

    public bool HasExited => _process.HasExited;

    /// <summary>Resident memory in bytes.</summary>
    public long ResidentBytes
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>The number of closed connections by close reason, from the log.</summary>
    public IReadOnlyDictionary<string, int> Reasons => _reasons;

    /// <summary>The output lines, without those of closed connections.</summary>
    public IEnumerable<string> Output => _output;

    /// <summary>Starts a host. Does not wait for readiness.</summary>
    /// <param name="ports">The host's ports.</param>
    /// <param name="redis">The address of the membership store.</param>
    /// <param name="first">The first registration, <c>bytestreams</c> or <c>orleans</c>.</param>
    /// <param name="settings">Configuration keys and values.</param>
    public static HostProcess Start(HostPorts ports, string redis, string first, params (string Key, string Value)[] settings)
    {
        string[] arguments =
        [
            string.Create(CultureInfo.InvariantCulture, $"--port={ports.Clients}"),
            string.Create(CultureInfo.InvariantCulture, $"--http={ports.Http}"),
            string.Create(CultureInfo.InvariantCulture, $"--silo={ports.Silo}"),
            $"--redis={redis}",
            "--cluster=scenarios",
            $"--first={first}",
            .. settings.Select(setting => $"--{setting.Key}={setting.Value}"),
        ];
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "ByteStreams.Orleans.Host"), arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = AppContext.BaseDirectory,
        };
        return new HostProcess(Process.Start(start)!, ports);
    }

    /// <summary>Sends a signal. Unless <paramref name="lives"/> is set, the host no longer counts as alive.</summary>
    public void Send(Signal signal, bool lives = false)
    {
        if (!lives)
        {
            Interlocked.CompareExchange(ref _signaledAt, Stopwatch.GetTimestamp(), long.MaxValue);
        }

        Assert.Equal(0, Kill(_process.Id, (int)signal));
    }

    /// <summary>Sends SIGSTOP and waits until each thread has stopped, because threads keep running for a while on a busy machine.</summary>
    /// <param name="lives">Whether the host still counts as alive.</param>
    public async Task FreezeAsync(bool lives = false)
    {
        Send(Signal.Stop, lives);
        await Patience.UntilAsync(
            () => Directory.GetDirectories(string.Create(CultureInfo.InvariantCulture, $"/proc/{_process.Id}/task")),
            threads => threads.All(thread => StateOf(thread) == 'T'));
    }

    /// <summary>Waits until the process has exited.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
        await _reading;
        return _process.ExitCode;
    }

    /// <summary>Returns the HTTP status of /readyz; 0 if the host does not answer.</summary>
    public async Task<int> ReadinessAsync()
    {
        if (HasExited)
        {
            Assert.Fail($"The host exited with code {_process.ExitCode}:\n{this}");
        }

        try
        {
            using HttpResponseMessage answer = await Http.GetAsync(Url("readyz"));
            return (int)answer.StatusCode;
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
        {
            return 0;
        }
    }

    /// <summary>Waits until the host is ready and sees the given number of live hosts, including itself.</summary>
    public async Task ReadyAsync(int hosts)
    {
        await Patience.UntilAsync(ReadinessAsync, status => status == 200, TimeSpan.FromMinutes(2));
        await Patience.UntilAsync(() => MetricAsync("bytestreams.cluster.hosts"), count => count == hosts, TimeSpan.FromMinutes(2));
    }

    /// <summary>Returns the sum of a metric over its tags, or over the tags that contain a text. 0 if the host does not answer.</summary>
    public async Task<double> MetricAsync(string name, string? tag = null)
    {
        try
        {
            string text = await Http.GetStringAsync(Url("metrics"));
            return text.Split('\n')
                .Select(line => line.Split(' '))
                .Where(parts => parts.Length == 2 && parts[0].Split('{')[0] == name && (tag is null || parts[0].Contains(tag, StringComparison.Ordinal)))
                .Sum(parts => double.Parse(parts[1], CultureInfo.InvariantCulture));
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
        {
            return 0;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            // SIGKILL also terminates a process stopped by SIGSTOP.
            _process.Kill();
        }

        await _process.WaitForExitAsync();
        await _reading;
        _process.Dispose();
    }

    /// <summary>Returns the last output lines.</summary>
    public override string ToString() => string.Join('\n', _output.TakeLast(40));

    /// <summary>Returns the state letter of a thread, which follows the name in parentheses.</summary>
    private static char StateOf(string thread)
    {
        try
        {
            string stat = File.ReadAllText(Path.Combine(thread, "stat"));
            return stat[stat.LastIndexOf(')') + 2];
        }
        catch (IOException)
        {
            // The thread has exited.
            return 'T';
        }
    }

    private Uri Url(string path) => new(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{At.Http}/{path}"));

    private async Task ReadAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is string line)
        {
            if (Ended().Match(line) is { Success: true } ended)
            {
                _reasons.AddOrUpdate(ended.Groups[1].Value, 1, (_, count) => count + 1);
            }
            else
            {
                _output.Enqueue(line);
            }
        }
    }

    [GeneratedRegex(@"Connection \S+ ended: (\w+)\.")]
    private static partial Regex Ended();

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}

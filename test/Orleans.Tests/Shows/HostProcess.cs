using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace ByteStreams.Cluster.Tests.Shows;

/// <summary>One host of a cluster: the program of test/Orleans.Host in a process of its own.</summary>
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

    /// <summary>When it was first signaled, a timestamp of <see cref="Stopwatch"/>; <see cref="long.MaxValue"/> as long as it lives.</summary>
    public long SignaledAt => Volatile.Read(ref _signaledAt);

    /// <summary>Whether it has not been signaled.</summary>
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

    /// <summary>The connections that have ended, by close reason, of the log.</summary>
    public IReadOnlyDictionary<string, int> Reasons => _reasons;

    /// <summary>What it has printed, without the lines of ended connections.</summary>
    public IEnumerable<string> Output => _output;

    /// <summary>Starts a host; it need not be ready when this returns.</summary>
    /// <param name="ports">Its ports.</param>
    /// <param name="redis">The address of the membership store.</param>
    /// <param name="first">What is registered first, <c>bytestreams</c> or <c>orleans</c>.</param>
    /// <param name="settings">Keys and values below <c>ByteStreams:</c>.</param>
    public static HostProcess Start(HostPorts ports, string redis, string first, params (string Key, string Value)[] settings)
    {
        string[] arguments =
        [
            string.Create(CultureInfo.InvariantCulture, $"--port={ports.Clients}"),
            string.Create(CultureInfo.InvariantCulture, $"--http={ports.Http}"),
            string.Create(CultureInfo.InvariantCulture, $"--silo={ports.Silo}"),
            $"--redis={redis}",
            "--cluster=shows",
            $"--first={first}",
            .. settings.Select(setting => $"--ByteStreams:{setting.Key}={setting.Value}"),
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

    /// <summary>Sends a signal. From then on, unless <paramref name="lives"/> is set, the host does not count as alive.</summary>
    public void Send(Signal signal, bool lives = false)
    {
        if (!lives)
        {
            Interlocked.CompareExchange(ref _signaledAt, Stopwatch.GetTimestamp(), long.MaxValue);
        }

        Assert.Equal(0, Kill(_process.Id, (int)signal));
    }

    /// <summary>Stops the process by SIGSTOP, and waits until each of its threads has stopped: on a busy machine they run on for a while.</summary>
    /// <param name="lives">As for <see cref="Send"/>.</param>
    public async Task FreezeAsync(bool lives = false)
    {
        Send(Signal.Stop, lives);
        await Patience.UntilAsync(
            () => Directory.GetDirectories(string.Create(CultureInfo.InvariantCulture, $"/proc/{_process.Id}/task")),
            threads => threads.All(thread => StateOf(thread) == 'T'));
    }

    /// <summary>Waits for the end of the process.</summary>
    /// <returns>Its exit code.</returns>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
        await _reading;
        return _process.ExitCode;
    }

    /// <summary>The status of /readyz; 0 if nothing answers.</summary>
    public async Task<int> ReadinessAsync()
    {
        if (HasExited)
        {
            Assert.Fail($"The host has exited with {_process.ExitCode}:\n{this}");
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

    /// <summary>Waits until the host is ready and knows the given number of live hosts, itself included.</summary>
    public async Task ReadyAsync(int hosts)
    {
        await Patience.UntilAsync(ReadinessAsync, status => status == 200, TimeSpan.FromMinutes(2));
        await Patience.UntilAsync(() => MetricAsync("bytestreams.cluster.hosts"), count => count == hosts, TimeSpan.FromMinutes(2));
    }

    /// <summary>The sum of a metric over its tags; of those tags that contain a text, if one is given. 0 if the host does not answer.</summary>
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
            // Also ends a process that SIGSTOP has stopped.
            _process.Kill();
        }

        await _process.WaitForExitAsync();
        await _reading;
        _process.Dispose();
    }

    /// <summary>The last lines that the host has printed.</summary>
    public override string ToString() => string.Join('\n', _output.TakeLast(40));

    /// <summary>The state of a thread, the letter after its name in parentheses.</summary>
    private static char StateOf(string thread)
    {
        try
        {
            string stat = File.ReadAllText(Path.Combine(thread, "stat"));
            return stat[stat.LastIndexOf(')') + 2];
        }
        catch (IOException)
        {
            // It has ended.
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

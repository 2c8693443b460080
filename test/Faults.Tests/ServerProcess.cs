using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Tracing;
using System.Globalization;
using System.Net;
using System.Text.RegularExpressions;
using ByteStreams.Testing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;

namespace ByteStreams.Faults.Tests;

/// <summary>A server in a process of its own, which can be measured and killed: StreamsHost, or stock Kestrel to compare with.</summary>
internal sealed partial class ServerProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly TaskCompletionSource _up = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ConcurrentDictionary<string, int> _reasons = new();
    private readonly ConcurrentQueue<string> _output = new();
    private readonly Task _reading;

    private ServerProcess(ProcessStartInfo start, int port, string ready)
    {
        Port = port;
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        start.WorkingDirectory = AppContext.BaseDirectory;
        _process = Process.Start(start)!;
        _reading = ReadAsync(ready);
    }

    /// <summary>Where it echoes lines.</summary>
    public int Port { get; }

    public int Id => _process.Id;

    public EndPoint EndPoint => new IPEndPoint(IPAddress.Loopback, Port);

    /// <summary>Resident memory in bytes.</summary>
    public long ResidentBytes
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>Whether it has ended by itself.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>The processor time that it has used.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Open sockets.</summary>
    public int Sockets => Descriptors.SocketsOf(Id);

    /// <summary>Connections that have left their summary line, by reason.</summary>
    public IReadOnlyDictionary<string, int> Reasons => _reasons;

    /// <summary>The last lines that it printed.</summary>
    public IEnumerable<string> Output => _output;

    /// <summary>Starts StreamsHost with its line echo on a port.</summary>
    /// <param name="wrapper">Another program that becomes it, such as <c>prlimit --nofile=400</c>.</param>
    /// <param name="port">The echo's port; 0 for a free one.</param>
    /// <param name="settings">Keys and values below <c>ByteStreams:</c>.</param>
    public static async Task<ServerProcess> StartHostAsync(string[] wrapper, int port, params (string Key, string Value)[] settings)
    {
        port = port == 0 ? Ports.Free() : port;
        (string, string)[] all = [("Endpoints:echo:Url", $"tcp://127.0.0.1:{port}"), ("Endpoints:echo:Backlog", "4096"), .. settings];
        ProcessStartInfo start = Command(
            [
                .. wrapper,
                Path.Combine(AppContext.BaseDirectory, "StreamsHost"),
                // Of the shipped endpoints only the echo: sockets in the system's temporary folder are other people's.
                $"--ByteStreams:Endpoints:echo-unix:Url=unix:@faults-{port}",
                "--ByteStreams:Endpoints:chat:Url=tcp://127.0.0.1:0",
                "--Admin:Url=http://127.0.0.1:0",
                // Tests count the lines of thousands of connections that end at once: none may be dropped because the reader is late.
                "--Logging:Console:MaxQueueLength=100000",
                .. all.Select(setting => $"--ByteStreams:{setting.Item1}={setting.Item2}"),
            ]);
        var host = new ServerProcess(start, port, "connect with: ");
        try
        {
            await host._up.Task.WaitAsync(Patience.Limit);
            return host;
        }
        catch
        {
            await host.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts stock Kestrel with the same echo.</summary>
    public static async Task<ServerProcess> StartKestrelAsync(params string[] wrapper)
    {
        int port = Ports.Free();
        var kestrel = new ServerProcess(
            Command([.. wrapper, Path.Combine(AppContext.BaseDirectory, "Benchmarks.Kestrel"), "--line", port.ToString(CultureInfo.InvariantCulture)]), port, "ready");
        await kestrel._up.Task.WaitAsync(Patience.Limit);
        return kestrel;
    }

    /// <summary>Has it collect its garbage, all generations of it, as a debugger asks for that. Done when it has.</summary>
    public async Task CollectAsync()
    {
        const long Collections = 0x1;
        const long CollectNow = 0x800000;
        using EventPipeSession session = await new DiagnosticsClient(Id).StartEventPipeSessionAsync(
            new EventPipeProvider("Microsoft-Windows-DotNETRuntime", EventLevel.Informational, Collections | CollectNow), requestRundown: false);
        using var events = new EventPipeEventSource(session.EventStream);
        var collected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        events.Clr.GCStop += stop =>
        {
            if (stop.Depth == 2)
            {
                collected.TrySetResult();
            }
        };
        Task listening = Task.Run(events.Process);
        await collected.Task.WaitAsync(Patience.Limit);
        // The stream ends by it.
        await session.StopAsync(CancellationToken.None).WaitAsync(Patience.Limit);
        await listening.WaitAsync(Patience.Limit);
    }

    /// <summary>Has it drain by a SIGTERM.</summary>
    /// <returns>Its exit code.</returns>
    public async Task<int> StopAsync()
    {
        using (Process kill = Process.Start("kill", ["-TERM", Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync().WaitAsync(Patience.Limit);
        }

        await _process.WaitForExitAsync().WaitAsync(Patience.Limit);
        return _process.ExitCode;
    }

    /// <summary>Ends it as nothing should end.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync().WaitAsync(Patience.Limit);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await KillAsync();
        }

        await _reading;
        _process.Dispose();
    }

    private static ProcessStartInfo Command(string[] command) => new(command[0], command[1..]);

    /// <summary>To the end of both: what it has printed is all there then.</summary>
    private async Task ReadAsync(string ready)
    {
        await Task.WhenAll(ReadAsync(_process.StandardOutput, ready), ReadAsync(_process.StandardError, ready));
        await _process.WaitForExitAsync();
        _up.TrySetException(new InvalidOperationException($"The server has ended with exit code {_process.ExitCode}:\n{string.Join('\n', _output)}"));
    }

    private async Task ReadAsync(StreamReader output, string ready)
    {
        // Read to the end: a pipe that nobody reads would stop the server.
        while (await output.ReadLineAsync() is string line)
        {
            if (Ended().Match(line) is { Success: true } ended)
            {
                _reasons.AddOrUpdate(ended.Groups[1].Value, 1, (_, count) => count + 1);
                continue;
            }

            _output.Enqueue(line);
            if (_output.Count > 1000)
            {
                _output.TryDequeue(out _);
            }

            if (line.Contains(ready, StringComparison.Ordinal))
            {
                _up.TrySetResult();
            }
        }
    }

    [GeneratedRegex(@"Connection \S+ ended: (\w+)\.")]
    private static partial Regex Ended();
}

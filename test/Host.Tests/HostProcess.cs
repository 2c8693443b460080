using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using ByteStreams.Faults.Tests;
using ByteStreams.Interop.Tests;

namespace StreamsHost.Tests;

/// <summary>The host as its users run it: a process of its own, on free ports and a socket in a folder of its own.</summary>
internal sealed partial class HostProcess : IAsyncDisposable
{
    private const string StatusAnnouncement = "The status page, health checks and metrics are at ";

    /// <summary>The build beside the tests, or the one that STREAMSHOST_EXECUTABLE names, such as a Native AOT one.</summary>
    public static readonly string Executable = Environment.GetEnvironmentVariable("STREAMSHOST_EXECUTABLE") is { Length: > 0 } other
        ? Path.GetFullPath(other)
        : Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "StreamsHost.exe" : "StreamsHost");

    private readonly Process _process;
    private readonly string _folder;
    private readonly Task<string> _errors;

    private HostProcess(Process process, string folder)
    {
        _process = process;
        _folder = folder;
        _errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>The lines that the host prints when it is up, by endpoint.</summary>
    public Dictionary<string, string> Announced { get; } = [];

    /// <summary>Where the HTTP side listens: told before the endpoints.</summary>
    public List<string> StatusAddresses { get; } = [];

    /// <summary>Connections that have left their summary line, by endpoint and reason, as far as its log was read.</summary>
    public Dictionary<(string Endpoint, string Reason), int> Ended { get; } = [];

    /// <summary>Open sockets.</summary>
    public int Sockets => Descriptors.SocketsOf(_process.Id);

    /// <summary>Its threads.</summary>
    public int Threads
    {
        get
        {
            _process.Refresh();
            return _process.Threads.Count;
        }
    }

    /// <summary>The heaps (arenas) of glibc except the first: each begins at a multiple of 64 MiB.</summary>
    public int NativeHeaps => File.ReadLines($"/proc/{_process.Id}/maps")
        .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Count(map => map is [_, "rw-p", _, _, _] && Convert.ToUInt64(map[0].Split('-')[0], 16) % (64 << 20) == 0);

    public string Folder => _folder;

    public string SocketPath => Path.Combine(_folder, "echo.sock");

    public static HostProcess Start(params string[] arguments) => StartUnder([], arguments);

    /// <summary>Starts the host through another program, such as <c>prlimit --nofile=400</c>, which becomes it.</summary>
    public static HostProcess StartUnder(string[] wrapper, params string[] arguments)
    {
        string folder = Directory.CreateTempSubdirectory("streamshost-").FullName;
        return Start(folder, wrapper,
        [
            "--Admin:Url=http://127.0.0.1:0",
            "--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:0",
            $"--ByteStreams:Endpoints:echo-unix:Url=unix:{Path.Combine(folder, "echo.sock")}",
            "--ByteStreams:Endpoints:chat:Url=tcp://127.0.0.1:0",
            .. arguments,
        ]);
    }

    /// <summary>Starts the host with these arguments and no others.</summary>
    public static HostProcess StartAlone(params string[] arguments) =>
        Start(Directory.CreateTempSubdirectory("streamshost-").FullName, [], arguments);

    private static HostProcess Start(string folder, string[] wrapper, string[] arguments)
    {
        string[] command = DefaultSignals.For([.. wrapper, Executable]);
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        foreach (string argument in (string[])[.. command[1..], .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return new HostProcess(Process.Start(start)!, folder);
    }

    /// <summary>Waits for the announcements of <paramref name="endpoints"/> endpoints.</summary>
    public async Task WaitUntilUpAsync(int endpoints = 3)
    {
        while (Announced.Count < endpoints)
        {
            string line = await ReadMessageAsync();
            if (Announcement().Match(line) is { Success: true } match)
            {
                Announced.TryAdd(match.Groups["name"].Value, line);
            }
        }
    }

    /// <summary>The TCP ports that it listens on, as Linux tells them.</summary>
    public IReadOnlyList<int> ListeningPorts()
    {
        const string listens = "0A";
        HashSet<string> own = [.. Directory.GetFiles($"/proc/{_process.Id}/fd").Select(file => new FileInfo(file).LinkTarget).OfType<string>()];
        return [.. ((string[])["tcp", "tcp6"])
            .SelectMany(family => File.ReadLines($"/proc/{_process.Id}/net/{family}").Skip(1))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Where(fields => fields[3] == listens && own.Contains($"socket:[{fields[9]}]"))
            .Select(fields => int.Parse(fields[1][(fields[1].LastIndexOf(':') + 1)..], NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
    }

    /// <summary>The processor time that it has used.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Its memory that is in use.</summary>
    public long ResidentBytes
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>Waits for a message of its log that contains <paramref name="text"/>.</summary>
    public async Task WaitForLineAsync(string text)
    {
        // In total: a host that logs something else now and then would never end the wait for each single line.
        long begun = Stopwatch.GetTimestamp();
        List<string> others = [];
        for (string message; !(message = await ReadMessageAsync()).Contains(text, StringComparison.Ordinal);)
        {
            others.Add(message);
            Assert.True(Stopwatch.GetElapsedTime(begun) < Patience.Limit, $"No line with \"{text}\" but:\n{string.Join('\n', others)}");
        }
    }

    /// <summary>Waits until so many connections have left their summary line.</summary>
    public async Task WaitForSummariesAsync(int count)
    {
        while (Ended.Values.Sum() < count)
        {
            await ReadMessageAsync();
        }
    }

    /// <summary>The next line of its output, as it is.</summary>
    public async Task<string> ReadLineAsync() => await _process.StandardOutput.ReadLineAsync().WaitAsync(Patience.Limit)
        ?? throw new InvalidOperationException($"The host ended: {await _errors}");

    /// <summary>The next line of its log, which is JSON where no terminal is: the message alone.</summary>
    public async Task<string> ReadMessageAsync()
    {
        string line = await ReadLineAsync();
        NoteEnds(line);
        using JsonDocument entry = JsonDocument.Parse(line);
        string message = entry.RootElement.GetProperty("Message").GetString()!;
        if (message.StartsWith(StatusAnnouncement, StringComparison.Ordinal))
        {
            StatusAddresses.Add(message[StatusAnnouncement.Length..]);
        }

        return message;
    }

    private void NoteEnds(string log)
    {
        foreach (Match ended in Summary().Matches(log))
        {
            (string, string) kind = (ended.Groups["endpoint"].Value, ended.Groups["reason"].Value);
            Ended[kind] = Ended.GetValueOrDefault(kind) + 1;
        }
    }

    public int Port(string endpoint) => int.Parse(Announcement().Match(Announced[endpoint]).Groups["port"].Value, CultureInfo.InvariantCulture);

    public async Task<(int ExitCode, string Errors)> WaitForExitAsync()
    {
        // Its log has to go somewhere, or it waits for a reader.
        Task<string> rest = _process.StandardOutput.ReadToEndAsync();
        await _process.WaitForExitAsync().WaitAsync(Patience.Limit);
        NoteEnds(await rest.WaitAsync(Patience.Limit));
        return (_process.ExitCode, await _errors.WaitAsync(Patience.Limit));
    }

    /// <summary>Waits for its end while its output is not read.</summary>
    public async Task<int> WaitForExitUnreadAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Patience.Limit);
        return _process.ExitCode;
    }

    /// <summary>Closes the reading end of its output: its writes fail with EPIPE.</summary>
    public void CloseOutput() => _process.StandardOutput.Dispose();

    public void Signal(PosixSignal signal) => Signal(signal switch
    {
        PosixSignal.SIGHUP => 1,
        PosixSignal.SIGINT => 2,
        PosixSignal.SIGTERM => 15,
        _ => throw new ArgumentOutOfRangeException(nameof(signal)),
    });

    /// <summary>Sends the signal with this number.</summary>
    public void Signal(int number) => Assert.Equal(0, Kill(_process.Id, number));

    /// <summary>What no process can do anything about.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);

    [GeneratedRegex(@"^Endpoint (?<name>\S+) listens on ((tcp|tls)://127\.0\.0\.1:(?<port>\d+)|unix:\S+); connect with: ")]
    private static partial Regex Announcement();

    [GeneratedRegex(@"Connection \S+ ended: (?<reason>\w+)\. Endpoint (?<endpoint>\S+), ")]
    private static partial Regex Summary();
}

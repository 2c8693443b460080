using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;

namespace StreamsHost.Tests;

/// <summary>The host as its users run it: a process of its own, on free ports and a socket in a folder of its own.</summary>
internal sealed partial class HostProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

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

    public string SocketPath => Path.Combine(_folder, "echo.sock");

    public static HostProcess Start(params string[] arguments) => StartUnder([], arguments);

    /// <summary>Starts the host through another program, such as <c>prlimit --nofile=400</c>, which becomes it.</summary>
    public static HostProcess StartUnder(string[] wrapper, params string[] arguments)
    {
        string folder = Directory.CreateTempSubdirectory("streamshost-").FullName;
        string[] command = [.. wrapper, Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "StreamsHost.exe" : "StreamsHost")];
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder,
        };
        foreach (string argument in (string[])
            [
                .. command[1..],
                "--Admin:Url=http://127.0.0.1:0",
                "--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:0",
                $"--ByteStreams:Endpoints:echo-unix:Url=unix:{Path.Combine(folder, "echo.sock")}",
                "--ByteStreams:Endpoints:chat:Url=tcp://127.0.0.1:0",
                .. arguments,
            ])
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
            string line = await _process.StandardOutput.ReadLineAsync().WaitAsync(Patience)
                ?? throw new InvalidOperationException($"The host ended: {await _errors}");
            if (Announcement().Match(line) is { Success: true } match)
            {
                Announced.Add(match.Groups["name"].Value, line);
            }
        }
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

    /// <summary>Waits for a line of its output that contains <paramref name="text"/>.</summary>
    public async Task WaitForLineAsync(string text)
    {
        while (!(await _process.StandardOutput.ReadLineAsync().WaitAsync(Patience)
            ?? throw new InvalidOperationException($"The host ended: {await _errors}")).Contains(text, StringComparison.Ordinal))
        {
        }
    }

    public int Port(string endpoint) => int.Parse(Announcement().Match(Announced[endpoint]).Groups["port"].Value, CultureInfo.InvariantCulture);

    public async Task<(int ExitCode, string Errors)> WaitForExitAsync()
    {
        await _process.WaitForExitAsync().WaitAsync(Patience);
        return (_process.ExitCode, await _errors.WaitAsync(Patience));
    }

    public void Signal(PosixSignal signal)
    {
        using Process kill = Process.Start("kill", [signal == PosixSignal.SIGTERM ? "-TERM" : "-INT", _process.Id.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
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

    [GeneratedRegex(@"^(?<name>\S+)\s+(tcp://127\.0\.0\.1:(?<port>\d+)|unix:\S+)\s+try: ")]
    private static partial Regex Announcement();
}

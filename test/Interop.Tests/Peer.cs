using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace ByteStreams.Interop.Tests;

/// <summary>A program at the other end, in a process of its own, that is killed with its children when the test is over.</summary>
internal sealed class Peer : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _errors = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private Peer(Process process)
    {
        _process = process;
        process.ErrorDataReceived += (_, line) => Note(line.Data);
        process.BeginErrorReadLine();
    }

    public int ProcessId => _process.Id;

    public Stream Input => _process.StandardInput.BaseStream;

    public Stream Output => _process.StandardOutput.BaseStream;

    public string Errors
    {
        get
        {
            lock (_errors)
            {
                return _errors.ToString();
            }
        }
    }

    /// <summary>Starts a program, or skips the test where it is not installed.</summary>
    public static Peer Start(string program, params IEnumerable<string> arguments)
    {
        string? path = (Environment.GetEnvironmentVariable("PATH") ?? string.Empty)
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, program))
            .FirstOrDefault(File.Exists);
        if (path is null)
        {
            Assert.Skip($"THE PEER IS MISSING: '{program}' is not installed, so nothing was tested against it.");
        }

        string[] command = DefaultSignals.For([path, .. arguments]);
        return new Peer(Process.Start(new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!);
    }

    /// <summary>Starts one of the scripts in Peers/.</summary>
    public static Peer StartPython(string script, params string[] arguments) =>
        // -B: no __pycache__ is written beside the scripts.
        Start("python3", ["-B", Path.Combine(AppContext.BaseDirectory, "Peers", script), .. arguments]);

    /// <summary>Writes to the program's input and ends it.</summary>
    public async Task SendAsync(ReadOnlyMemory<byte> data)
    {
        await Input.WriteAsync(data, TestContext.Current.CancellationToken);
        _process.StandardInput.Close();
    }

    /// <summary>Everything that the program prints, to the end.</summary>
    public async Task<byte[]> ReadToEndAsync()
    {
        using var all = new MemoryStream();
        await Output.CopyToAsync(all, TestContext.Current.CancellationToken).WaitAsync(Patience.Limit);
        return all.ToArray();
    }

    public async Task<string> ReadLineAsync() =>
        await _process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Patience.Limit)
        ?? throw new EndOfStreamException($"The peer ended without another line. {Errors}");

    /// <summary>Waits until the program has printed <paramref name="text"/> among its errors, and answers that line.</summary>
    public async Task<string> WaitForErrorAsync(string text)
    {
        using var late = new CancellationTokenSource(Patience.Limit);
        while (true)
        {
            Task changed = _changed.Task;
            if (Errors.Split('\n').FirstOrDefault(line => line.Contains(text, StringComparison.Ordinal)) is string found)
            {
                return found;
            }

            await changed.WaitAsync(late.Token);
        }
    }

    /// <summary>Waits for the program's end and demands that it was content; answers what it printed and was not read yet.</summary>
    public async Task<string> FinishAsync()
    {
        (int exitCode, string output) = await ExitAsync();
        Assert.True(exitCode == 0, $"The peer exited with {exitCode}: {output}{Errors}");
        return output;
    }

    /// <summary>Waits for the program's end, whatever it thinks of it; answers its exit code and what it printed and was not read yet.</summary>
    public async Task<(int ExitCode, string Output)> ExitAsync()
    {
        string output = await _process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken).WaitAsync(Patience.Limit);
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(Patience.Limit);
        return (_process.ExitCode, output);
    }

    /// <summary>Sends a signal, by its name, and waits for the program's end.</summary>
    public async Task StopAsync(string signal)
    {
        await using Peer kill = Start("kill", $"-{signal}", ProcessId.ToString(CultureInfo.InvariantCulture));
        await kill.FinishAsync();
        await _process.WaitForExitAsync(CancellationToken.None).WaitAsync(Patience.Limit);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        await _process.WaitForExitAsync(CancellationToken.None).WaitAsync(Patience.Limit);
        _process.Dispose();
    }

    private void Note(string? line)
    {
        TaskCompletionSource changed;
        lock (_errors)
        {
            _errors.Append(line).Append('\n');
            changed = Interlocked.Exchange(ref _changed, new(TaskCreationOptions.RunContinuationsAsynchronously));
        }

        changed.SetResult();
    }
}

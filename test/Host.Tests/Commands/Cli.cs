using System.Diagnostics;
using System.Text;
using ByteStreams.Interop.Tests;

namespace StreamsHost.Tests.Commands;

/// <summary>The program with a command, run to its end.</summary>
internal static class Cli
{
    /// <summary>The program's file.</summary>
    public static string Program => HostProcess.Executable;

    public static Task<CliResult> RunAsync(params string[] arguments) => RunAsync(new CliStart(), arguments);

    /// <summary>Runs it to its end.</summary>
    public static Task<CliResult> RunAsync(CliStart start, params string[] arguments) => RunUnderAsync([], start, arguments);

    /// <summary>Runs it to its end through another program, such as <c>env -u HOME</c>, which becomes it.</summary>
    public static async Task<CliResult> RunUnderAsync(string[] wrapper, CliStart start, params string[] arguments)
    {
        using Process process = StartUnder(wrapper, start, arguments);
        Task<byte[]> output = ReadAsync(process.StandardOutput.BaseStream);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        try
        {
            await process.StandardInput.BaseStream.WriteAsync(start.Input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended before it read everything, of which its exit code tells.
        }

        try
        {
            await process.WaitForExitAsync().WaitAsync(Patience.Limit);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }

        return new CliResult(process.ExitCode, await output, await errors);
    }

    /// <summary>Starts it; the caller disposes of it.</summary>
    public static Process Start(CliStart given, params string[] arguments) => StartUnder([], given, arguments);

    private static Process StartUnder(string[] wrapper, CliStart given, string[] arguments)
    {
        string[] command = DefaultSignals.For([.. wrapper, given.Program]);
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = given.Folder,
        };
        foreach ((string name, string value) in given.Environment)
        {
            start.Environment[name] = value;
        }

        foreach (string argument in (string[])[.. command[1..], .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    private static async Task<byte[]> ReadAsync(Stream stream)
    {
        using var memory = new MemoryStream();
        await stream.CopyToAsync(memory);
        return memory.ToArray();
    }
}

/// <summary>What a program is started with.</summary>
internal sealed record CliStart
{
    /// <summary>The program's file.</summary>
    public string Program { get; init; } = Cli.Program;

    /// <summary>What it reads from standard input.</summary>
    public byte[] Input { get; init; } = [];

    /// <summary>Variables beside those that the tests run with.</summary>
    public Dictionary<string, string> Environment { get; init; } = [];

    /// <summary>The folder that it starts in.</summary>
    public string Folder { get; init; } = Path.GetTempPath();
}

/// <summary>How the program has ended.</summary>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Bytes">What it wrote to standard output.</param>
/// <param name="Errors">What it wrote to standard error.</param>
internal sealed record CliResult(int ExitCode, byte[] Bytes, string Errors)
{
    public string Output => Encoding.UTF8.GetString(Bytes);
}

using System.Diagnostics;
using System.Text;

namespace StreamsHost.Tests.Commands;

/// <summary>The program with a command, run to its end.</summary>
internal static class Cli
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>The program's file.</summary>
    public static string Program { get; } = Path.Combine(AppContext.BaseDirectory, OperatingSystem.IsWindows() ? "StreamsHost.exe" : "StreamsHost");

    public static Task<CliResult> RunAsync(params string[] arguments) => RunAsync([], null, arguments);

    /// <summary>Runs it with variables in its environment, and with its input.</summary>
    public static async Task<CliResult> RunAsync(Dictionary<string, string> environment, byte[]? input, params string[] arguments)
    {
        using Process process = Start(environment, arguments);
        Task<byte[]> output = ReadAsync(process.StandardOutput.BaseStream);
        Task<string> errors = process.StandardError.ReadToEndAsync();
        try
        {
            if (input is not null)
            {
                await process.StandardInput.BaseStream.WriteAsync(input);
            }

            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended before it read everything, of which its exit code tells.
        }

        try
        {
            await process.WaitForExitAsync().WaitAsync(Patience);
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

    /// <summary>Starts it in the system's temporary folder; the caller disposes of it.</summary>
    public static Process Start(Dictionary<string, string> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(Program)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        foreach (string argument in arguments)
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

/// <summary>How the program has ended.</summary>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Bytes">What it wrote to standard output.</param>
/// <param name="Errors">What it wrote to standard error.</param>
internal sealed record CliResult(int ExitCode, byte[] Bytes, string Errors)
{
    public string Output => Encoding.UTF8.GetString(Bytes);
}

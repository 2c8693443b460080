using System.Diagnostics;

namespace ByteStreams.Http.Tests;

/// <summary>The program of <c>Server/</c> in a process of its own, stopped at its disposal.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly List<Uri> _addresses = [];

    private ServerProcess(Process process) => _process = process;

    public IReadOnlyList<Uri> Addresses => _addresses;

    /// <summary>Starts it.</summary>
    /// <param name="wrapper">Another program that becomes it or runs it, such as strace.</param>
    /// <param name="transport">The transport of its Kestrel.</param>
    /// <param name="mode">What it listens on: <c>tcp</c> or <c>systemd</c>.</param>
    /// <param name="addresses">How many addresses it reports.</param>
    /// <param name="soon">Ends the wait for them.</param>
    /// <returns>The process, which listens.</returns>
    public static async Task<ServerProcess> StartAsync(string[] wrapper, TestedTransport transport, string mode, int addresses, CancellationToken soon)
    {
        string[] command = [.. wrapper, Path.Combine(AppContext.BaseDirectory, "Http.Server"), transport.ToString(), mode];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var server = new ServerProcess(Process.Start(start)!);
        try
        {
            while (server._addresses.Count < addresses)
            {
                string line = await server._process.StandardOutput.ReadLineAsync(soon)
                    ?? throw new InvalidOperationException("The server ended: " + await server._process.StandardError.ReadToEndAsync(soon));
                if (line.StartsWith("ready ", StringComparison.Ordinal))
                {
                    server._addresses.Add(new Uri(line["ready ".Length..]));
                }
            }

            return server;
        }
        catch
        {
            server._process.Kill(entireProcessTree: true);
            await server.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        using var late = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        try
        {
            await _process.WaitForExitAsync(late.Token);
        }
        catch (OperationCanceledException)
        {
            _process.Kill(entireProcessTree: true);
            throw new TimeoutException("The server did not stop.");
        }
        finally
        {
            _process.Dispose();
        }
    }
}

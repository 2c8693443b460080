#:project ../src/Middleware/ByteStreams.csproj

// Graceful shutdown: on SIGTERM or Ctrl+C new clients are refused, each job that has begun is completed, and its reply is delivered.
//
//   dotnet run samples/graceful-shutdown.cs
//
// Serves 127.0.0.1:7082. A line is a job of that many milliseconds. Try it with: nc 127.0.0.1 7082
// Enter 5000, and press Ctrl+C in the first terminal: nc prints "done" and "bye", and the server prints the drain report.

using System.Globalization;
using System.Runtime.InteropServices;
using ByteStreams;

var signal = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);

await using ByteStreamServer server = await ByteStream.StartServerAsync(ServeAsync, "127.0.0.1", 7082);
Console.WriteLine($"Serving on {server.EndPoints[0]}");
await signal.Task;

// The listeners close and the handlers' token fires. After 30 s the remaining connections are aborted.
DrainReport report = await server.StopAsync(TimeSpan.FromSeconds(30));
Console.WriteLine(report.IsClean ? "All replies were delivered" : $"{report.Aborted} connections were aborted");
return report.IsClean ? 0 : 1;

void Stop(PosixSignalContext context)
{
    // Otherwise .NET ends the process.
    context.Cancel = true;
    signal.TrySetResult();
}

static async Task ServeAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
{
    try
    {
        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is { } line)
        {
            if (!int.TryParse(line, CultureInfo.InvariantCulture, out int milliseconds) || milliseconds is < 0 or > 20_000)
            {
                writer.Write("expected 0 to 20000 milliseconds\n");
                continue;
            }

            writer.Write("working\n");
            await writer.DrainAsync(CancellationToken.None);
            // Without the token: a job that has begun is completed.
            await Task.Delay(milliseconds, CancellationToken.None);
            writer.Write("done\n");
            await writer.DrainAsync(CancellationToken.None);
        }
    }
    catch (OperationCanceledException) when (stopping.IsCancellationRequested)
    {
        // The read was cancelled; a write is still possible, and what it writes is delivered.
        writer.Write("bye\n");
    }
}

using System.Runtime.InteropServices;

namespace Benchmarks;

internal static class PeerProcess
{
    /// <summary>Says that the server is listening, and waits for SIGTERM.</summary>
    public static async Task ServeUntilTerminatedAsync()
    {
        var terminated = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var registration = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            terminated.TrySetResult();
        });
        Console.WriteLine("ready");
        await terminated.Task;
    }
}

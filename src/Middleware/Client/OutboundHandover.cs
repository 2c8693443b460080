using ByteStreams.Streams;

namespace ByteStreams.Client;

/// <summary>A feature of an outbound connection with middleware: its innermost frame, which lasts as long as the connection.</summary>
internal sealed class OutboundHandover : IOutboundMiddleware
{
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when all middleware has called the next one.</summary>
    public Task Reached => _reached.Task;

    /// <summary>Completes when all middleware has returned.</summary>
    public Task Middleware { get; set; } = Task.CompletedTask;

    /// <summary>The end of the pipeline.</summary>
    public Task HandOverAsync()
    {
        _reached.TrySetResult();
        return _released.Task;
    }

    public Task EndAsync()
    {
        Release();
        return Middleware;
    }

    /// <summary>Lets the middleware return. Idempotent.</summary>
    public void Release() => _released.TrySetResult();
}

using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Web;

/// <summary>The request to end of one connection, which the stop of the application fires.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "Without a timer and a wait handle it holds nothing, and other threads use its token.")]
internal sealed class StopNotification : IConnectionLifetimeNotificationFeature
{
    private readonly CancellationTokenSource _requested = new();

    public CancellationToken ConnectionClosedRequested
    {
        get => _requested.Token;
        set => throw new NotSupportedException("ConnectionClosedRequested belongs to the server.");
    }

    public void RequestClose() => _requested.Cancel();
}

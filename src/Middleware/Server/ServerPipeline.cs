using ByteStreams.Connections;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Server;

/// <summary>The middleware and the handler of a server, built and not yet in effect. Disposing it discards it.</summary>
/// <param name="Run">Serves a connection.</param>
/// <param name="CompletesHandler">Whether the runner completes the handler, see <see cref="ConnectionState.CompletesHandler"/>.</param>
/// <param name="Owned">What the middleware holds.</param>
internal sealed record ServerPipeline(ConnectionDelegate Run, bool CompletesHandler, IReadOnlyList<IDisposable> Owned) : IDisposable
{
    public void Dispose()
    {
        foreach (IDisposable held in Owned)
        {
            held.Dispose();
        }
    }
}

using System.Collections.Concurrent;
using System.Net;
using ByteStreams.Server;

namespace ByteStreams.Hosting;

/// <summary>The servers and listeners that reloads have replaced: a server lives until its last connection closes.</summary>
internal sealed class RetiredServers(TimeProvider time)
{
    /// <summary>
    /// How long a listener whose address was narrowed stays open, for clients whose TCP handshake has begun: longer than the round trip of
    /// nearly all networks.
    /// </summary>
    private static readonly TimeSpan Handshake = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<ByteStreamServer, Task> _servers = new();

    /// <summary>The servers with open connections.</summary>
    public IEnumerable<ByteStreamServer> Servers => _servers.Keys;

    /// <summary>Closes the servers and listeners that a transition has replaced.</summary>
    /// <param name="transition">The committed transition.</param>
    /// <param name="reloading">Held during a reload, which may need a listener again.</param>
    /// <param name="stopped">Canceled when the host stops, which closes the listeners with their servers.</param>
    public async Task AddAsync(EndpointTransition transition, SemaphoreSlim reloading, CancellationToken stopped)
    {
        foreach (ByteStreamServer replaced in transition.Retired)
        {
            Retire(replaced);
        }

        foreach (RunningEndpoint removed in transition.Removed)
        {
            Retire(removed.Server);
            removed.Server.RequestCloseClients();
        }

        foreach ((ByteStreamServer server, AcceptLoop loop, Func<EndPoint?, bool>? accepts) in transition.Ending)
        {
            if (accepts is null)
            {
                await CloseAsync(server, loop).ConfigureAwait(false);
            }
            else
            {
                _ = CloseLaterAsync(server, loop, accepts, reloading, stopped);
            }
        }
    }

    private static async Task CloseAsync(ByteStreamServer server, AcceptLoop loop)
    {
        await loop.EndAsync().ConfigureAwait(false);
        server.Listeners.Forget(loop);
    }

    private async Task CloseLaterAsync(
        ByteStreamServer server, AcceptLoop loop, Func<EndPoint?, bool> accepts, SemaphoreSlim reloading, CancellationToken stopped)
    {
        try
        {
            await Task.Delay(Handshake, time, stopped).ConfigureAwait(false);
            await reloading.WaitAsync(stopped).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        try
        {
            if (!stopped.IsCancellationRequested && loop.IsEnding(accepts))
            {
                await CloseAsync(server, loop).ConfigureAwait(false);
            }
        }
        finally
        {
            reloading.Release();
        }
    }

    /// <summary>Closes the listeners at once, and the server after its last connection.</summary>
    private void Retire(ByteStreamServer server)
    {
        server.Close();
        _servers[server] = WaitAsync();

        async Task WaitAsync()
        {
            await Task.Yield();
            await server.WaitClosedAsync().ConfigureAwait(false);
            _servers.TryRemove(server, out _);
        }
    }
}

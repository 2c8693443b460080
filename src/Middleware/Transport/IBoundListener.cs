using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>A listener that binds and listens in two steps: it is bound when it is created, and refuses clients until <see cref="Listen"/>.</summary>
internal interface IBoundListener : IConnectionListener
{
    /// <summary>The bound address, for the comparison with other listeners.</summary>
    ListenAddress Address { get; }

    /// <summary>Whether new clients reach it: false if its Unix socket file was removed or replaced.</summary>
    bool IsReachable { get; }

    /// <summary>Starts to listen.</summary>
    /// <exception cref="IOException">Another process has taken the address since it was bound.</exception>
    void Listen();

    /// <summary>Stops new clients, where the system can leave them to another listener, and waits until the backlog is accepted.</summary>
    /// <param name="within">The longest wait.</param>
    Task EmptyAsync(TimeSpan within);
}

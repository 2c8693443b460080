using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>A listener in two steps: it has its address when it is made, and refuses clients until <see cref="Listen"/>.</summary>
internal interface IBoundListener : IConnectionListener
{
    /// <summary>What it disputes with other listeners.</summary>
    ListenAddress Address { get; }

    /// <summary>Whether new clients reach it: false where its file was removed or replaced.</summary>
    bool IsReachable { get; }

    /// <summary>Clients can connect from now on.</summary>
    /// <exception cref="IOException">The address was lost to somebody else meanwhile.</exception>
    void Listen();

    /// <summary>Takes no new clients, as far as the system can leave them to another listener, and waits until those in the queue are accepted.</summary>
    /// <param name="within">The longest wait.</param>
    Task EmptyAsync(TimeSpan within);
}

using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Transport;

/// <summary>A listener in two steps: it has its address when it is made, and refuses clients until <see cref="Listen"/>.</summary>
internal interface IBoundListener : IConnectionListener
{
    /// <summary>Clients can connect from now on.</summary>
    /// <exception cref="IOException">The address was lost to somebody else meanwhile.</exception>
    void Listen();
}

using System.Diagnostics.CodeAnalysis;

namespace ByteStreams;

/// <summary>The running servers of the application's endpoints, by name; a service to ask for. Empty before the host has started.</summary>
public sealed class ByteStreamServers
{
    private volatile IReadOnlyDictionary<string, ByteStreamServer> _running =
        new Dictionary<string, ByteStreamServer>(StringComparer.OrdinalIgnoreCase);

    internal ByteStreamServers()
    {
    }

    /// <summary>The names of the endpoints, in the order in which they were added.</summary>
    public IEnumerable<string> Names => _running.Keys;

    /// <summary>The server of an endpoint.</summary>
    /// <param name="name">The endpoint's name, in any case.</param>
    /// <exception cref="KeyNotFoundException">There is no such endpoint, or the host has not started.</exception>
    public ByteStreamServer this[string name] => TryGet(name, out ByteStreamServer? server)
        ? server
        : throw new KeyNotFoundException($"No endpoint '{name}' is running. Running are: {string.Join(", ", Names)}.");

    /// <summary>The server of an endpoint, if it is running.</summary>
    /// <param name="name">The endpoint's name, in any case.</param>
    /// <param name="server">The server.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGet(string name, [NotNullWhen(true)] out ByteStreamServer? server) => _running.TryGetValue(name, out server);

    internal void Set(IEnumerable<KeyValuePair<string, ByteStreamServer>> running) =>
        _running = new Dictionary<string, ByteStreamServer>(running, StringComparer.OrdinalIgnoreCase);
}

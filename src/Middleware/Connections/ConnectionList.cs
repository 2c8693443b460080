namespace ByteStreams.Connections;

/// <summary>
/// A doubly linked list of connections, the newest first, whose links lie in the connections' states: a table would cost each idle connection
/// 100 bytes. Not thread-safe; its owner has the lock.
/// </summary>
/// <param name="isOwners">Whether it uses the links of the server, and not those of the endpoint's counters.</param>
internal sealed class ConnectionList(bool isOwners)
{
    private ConnectionState? _newest;

    public ConnectionState? Newest => _newest;

    public int Count { get; private set; }

    public ConnectionState? Next(ConnectionState connection) => Links(connection).Older;

    public void Add(ConnectionState connection)
    {
        Links(connection).Older = _newest;
        if (_newest is not null)
        {
            Links(_newest).Newer = connection;
        }

        _newest = connection;
        Count++;
    }

    public void Remove(ConnectionState connection)
    {
        ref ConnectionLinks links = ref Links(connection);
        if (links.Newer is null)
        {
            _newest = links.Older;
        }
        else
        {
            Links(links.Newer).Older = links.Older;
        }

        if (links.Older is not null)
        {
            Links(links.Older).Newer = links.Newer;
        }

        // A state that has become old must not keep alive those after it, and they the next.
        links = default;
        Count--;
    }

    private ref ConnectionLinks Links(ConnectionState connection)
    {
        if (isOwners)
        {
            return ref connection.OwnerLinks;
        }

        return ref connection.EndpointLinks;
    }
}

/// <summary>A connection's links in one list.</summary>
internal struct ConnectionLinks
{
    public ConnectionState? Newer;
    public ConnectionState? Older;
}

using System.Runtime.InteropServices;

namespace ByteStreams.Admission;

/// <summary>The number of connections of each client that has any: never more entries than connections. Thread-safe.</summary>
internal sealed class ClientCounts(int most)
{
    private readonly Dictionary<ClientNetwork, int> _counts = [];

    /// <summary>The number of clients with connections.</summary>
    public int Count
    {
        get
        {
            lock (_counts)
            {
                return _counts.Count;
            }
        }
    }

    public bool TryEnter(ClientNetwork client)
    {
        lock (_counts)
        {
            ref int count = ref CollectionsMarshal.GetValueRefOrAddDefault(_counts, client, out _);
            if (count >= most)
            {
                return false;
            }

            count++;
            return true;
        }
    }

    public void Leave(ClientNetwork client)
    {
        lock (_counts)
        {
            if (--CollectionsMarshal.GetValueRefOrNullRef(_counts, client) == 0)
            {
                _counts.Remove(client);
            }
        }
    }
}

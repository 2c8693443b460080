using System.Runtime.InteropServices;

namespace ByteStreams.Cluster.Links;

/// <summary>The groups that have a member on this host, by their numbers. Guarded by the backplane's lock.</summary>
internal sealed class LocalInterest
{
    private readonly Dictionary<ulong, int> _groups = [];

    public int Count => _groups.Count;

    public IEnumerable<ulong> Groups => _groups.Keys;

    /// <summary>Adds a group; true for the first with this number.</summary>
    public bool Add(ulong group)
    {
        ref int count = ref CollectionsMarshal.GetValueRefOrAddDefault(_groups, group, out _);
        count++;
        return count == 1;
    }

    /// <summary>Removes a group; true for the last with this number.</summary>
    public bool Remove(ulong group)
    {
        ref int count = ref CollectionsMarshal.GetValueRefOrNullRef(_groups, group);
        if (--count > 0)
        {
            return false;
        }

        _groups.Remove(group);
        if (_groups.Count < _groups.Capacity / 4)
        {
            // A room that was full once must not keep its memory.
            _groups.TrimExcess(_groups.Capacity / 2);
        }

        return true;
    }
}

using System.Runtime.InteropServices;

namespace ByteStreams.Cluster.Links;

/// <summary>The hashes of the groups with a member on this host. Guarded by the backplane's lock.</summary>
internal sealed class LocalInterest
{
    private readonly Dictionary<ulong, int> _groups = [];

    public int Count => _groups.Count;

    public IEnumerable<ulong> Groups => _groups.Keys;

    /// <summary>Adds a group. Returns true for the first group with this hash.</summary>
    public bool Add(ulong group)
    {
        ref int count = ref CollectionsMarshal.GetValueRefOrAddDefault(_groups, group, out _);
        count++;
        return count == 1;
    }

    /// <summary>Removes a group. Returns true for the last group with this hash.</summary>
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
            // Releases the memory of a former peak.
            _groups.TrimExcess(_groups.Capacity / 2);
        }

        return true;
    }
}

namespace ByteStreams.Groups;

/// <summary>
/// The members of a group. Sends read the list without a lock: a member that leaves during a send may or may not get the message. A member that
/// joins during a send does not get it, because it may be a former member that already got the message.
/// </summary>
/// <param name="name">The group's name.</param>
/// <param name="groups">The table that removes the group after its last member; null for a permanent group.</param>
/// <remarks>Locks on itself, because a <see cref="Lock"/> would cost 48 bytes for each user.</remarks>
internal sealed class MemberGroup(string name, MemberGroups? groups)
{
    private const int Smallest = 4;

    // Copied to grow and to shrink. A slot is null after its member has left.
    private Membership?[] _members = [];
    private Stack<int>? _free;
    private int _end;
    private int _count;
    private int _lastNumber;
    private bool _isClosed;
    private Task? _announced;

    public string Name => name;

    /// <summary>Completes when the other hosts know that the group has members on this host; null if that is already the case.</summary>
    public Task? Announced
    {
        get
        {
            lock (this)
            {
                return _announced is { IsCompleted: true } ? _announced = null : _announced;
            }
        }
    }

    public int Count => Volatile.Read(ref _count);

    /// <summary>The slots of the list; empty slots are null. A concurrent removal may or may not be visible.</summary>
    public ReadOnlySpan<Membership?> Members => Volatile.Read(ref _members);

    /// <summary>The <see cref="Membership.Number"/> of the last member that joined. Read it before <see cref="Members"/>.</summary>
    public int LastNumber => Volatile.Read(ref _lastNumber);

    /// <summary>Adds a member. Returns false if the group is closed, because its last member has left.</summary>
    public bool TryAdd(Membership membership)
    {
        lock (this)
        {
            if (_isClosed)
            {
                return false;
            }

            int slot = _free is { Count: > 0 } ? _free.Pop() : _end++;
            if (slot == _members.Length)
            {
                var larger = new Membership?[Math.Max(1, 2 * slot)];
                _members.CopyTo(larger, 0);
                Volatile.Write(ref _members, larger);
            }

            membership.Slot = slot;
            membership.Number = unchecked(_lastNumber + 1);
            Volatile.Write(ref _lastNumber, membership.Number);
            Volatile.Write(ref _members[slot], membership);
            _count++;
            if (_count == 1)
            {
                _announced = groups?.Announce(this);
            }

            return true;
        }
    }

    /// <summary>Removes a member, and after the last member the group.</summary>
    public void Remove(Membership membership)
    {
        lock (this)
        {
            Volatile.Write(ref _members[membership.Slot], null);
            _count--;
            if (_count == 0 && groups is not null)
            {
                _isClosed = true;
                groups.Withdraw(this);
            }
            else if (_members.Length > Smallest && _count < _members.Length / 4)
            {
                Shrink();
            }
            else
            {
                (_free ??= new Stack<int>()).Push(membership.Slot);
            }
        }
    }

    /// <summary>Removes the group if it has no member.</summary>
    public void RemoveIfEmpty()
    {
        lock (this)
        {
            if (_count == 0 && groups is not null)
            {
                _isClosed = true;
                groups.Remove(this);
            }
        }
    }

    /// <summary>Moves the members to a list of half the size. Concurrent sends continue with the old list.</summary>
    private void Shrink()
    {
        var smaller = new Membership?[Math.Max(Smallest, _members.Length / 2)];
        _end = 0;
        foreach (Membership? membership in _members)
        {
            if (membership is not null)
            {
                membership.Slot = _end;
                smaller[_end++] = membership;
            }
        }

        _free = null;
        Volatile.Write(ref _members, smaller);
    }
}

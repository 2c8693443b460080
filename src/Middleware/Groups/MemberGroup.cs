namespace ByteStreams.Groups;

/// <summary>
/// The members of a group. Sends read the list without a lock: a member that leaves meanwhile may get the message or not. One that joins meanwhile
/// does not, because it may have left the group after it got the message.
/// </summary>
/// <param name="name">The group's name.</param>
/// <param name="groups">Those that it is removed from with its last member; null for a group that stays.</param>
/// <remarks>Its lock is itself: a <see cref="Lock"/> would take 48 bytes of each user.</remarks>
internal sealed class MemberGroup(string name, MemberGroups? groups)
{
    private const int Smallest = 4;

    // Replaced to grow and to shrink; a place is null when its member has left.
    private Membership?[] _members = [];
    private Stack<int>? _free;
    private int _end;
    private int _count;
    private int _lastNumber;
    private bool _isClosed;
    private Task? _announced;

    public string Name => name;

    /// <summary>Done when the other hosts know that the group has members here; null where that is long so.</summary>
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

    /// <summary>The list, which has empty places. What is removed meanwhile may be seen or not.</summary>
    public ReadOnlySpan<Membership?> Members => Volatile.Read(ref _members);

    /// <summary>The <see cref="Membership.Number"/> of the last member that joined; to be read before <see cref="Members"/>.</summary>
    public int LastNumber => Volatile.Read(ref _lastNumber);

    /// <summary>Adds a member; false if the group has been closed by its last member.</summary>
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

    /// <summary>Removes a member, and the group with its last one.</summary>
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

    /// <summary>Moves the members to a list of half the size. A send that runs meanwhile goes on with the old list.</summary>
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

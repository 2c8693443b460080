namespace ByteStreams.Transport;

/// <summary>
/// The features that were set on a connection: a shared <see cref="FeatureShape"/>, and the values. Kestrel and the server set five, whose
/// values are but two objects: Kestrel's connection is four of them.
/// </summary>
internal struct FeatureSlots
{
    /// <summary>Values with a field of their own; more of them lie in an array.</summary>
    private const int OwnSlots = 2;

    private FeatureShape? _shape;
    private object? _value0;
    private object? _value1;
    private object?[]? _more;

    /// <summary>Counts the changes.</summary>
    public int Revision { get; private set; }

    private readonly FeatureShape Shape => _shape ?? FeatureShape.Empty;

    /// <summary>Finds what was set.</summary>
    /// <param name="key">The feature.</param>
    /// <param name="value">Its value; null where the connection's own is hidden.</param>
    /// <returns>Whether it was set.</returns>
    public readonly bool TryGet(Type key, out object? value)
    {
        int index = Shape.IndexOf(key);
        value = index < 0 ? null : ValueAt(Shape.SlotAt(index));
        return index >= 0;
    }

    /// <summary>Sets a feature, or removes it.</summary>
    /// <param name="key">The feature.</param>
    /// <param name="value">Its value; null removes it.</param>
    /// <param name="hides">Whether null hides the connection's own feature instead.</param>
    public void Set(Type key, object? value, bool hides)
    {
        int index = Shape.IndexOf(key);
        if (value is not null || hides)
        {
            Set(index, key, value);
        }
        else if (index >= 0)
        {
            Forget(Shape.SlotAt(index));
            _shape = Shape.Without(index);
        }
        else
        {
            return;
        }

        Revision++;
    }

    /// <summary>What is set and not hidden.</summary>
    public readonly IEnumerable<KeyValuePair<Type, object>> GetAll()
    {
        var all = new List<KeyValuePair<Type, object>>(Shape.Count);
        for (int i = 0; i < Shape.Count; i++)
        {
            if (ValueAt(Shape.SlotAt(i)) is object value)
            {
                all.Add(new(Shape.TypeAt(i), value));
            }
        }

        return all;
    }

    private void Set(int index, Type key, object? value)
    {
        int before = index >= 0 ? Shape.SlotAt(index) : FeatureShape.Hidden;
        if (value is not null && before >= 0 && Shape.IsAlone(before))
        {
            Store(before, value);
            return;
        }

        int slot = value is null ? FeatureShape.Hidden : SlotFor(value);
        Forget(before);
        _shape = Shape.With(key, slot);
    }

    /// <summary>The slot that holds this value already, or else will.</summary>
    private int SlotFor(object value)
    {
        int free = -1;
        int slots = OwnSlots + (_more?.Length ?? 0);
        for (int slot = 0; slot < slots; slot++)
        {
            if (ReferenceEquals(ValueAt(slot), value))
            {
                return slot;
            }

            if (free < 0 && !Shape.IsUsed(slot))
            {
                free = slot;
            }
        }

        if (free < 0)
        {
            free = slots;
            Array.Resize(ref _more, Math.Max(2, (slots - OwnSlots) * 2));
        }

        Store(free, value);
        return free;
    }

    /// <summary>Drops a value that is about to be the value of no feature.</summary>
    private void Forget(int slot)
    {
        if (slot >= 0 && Shape.IsAlone(slot))
        {
            Store(slot, null);
        }
    }

    private readonly object? ValueAt(int slot) => slot switch
    {
        FeatureShape.Hidden => null,
        0 => _value0,
        1 => _value1,
        _ => _more![slot - OwnSlots],
    };

    private void Store(int slot, object? value)
    {
        switch (slot)
        {
            case 0:
                _value0 = value;
                break;
            case 1:
                _value1 = value;
                break;
            default:
                _more![slot - OwnSlots] = value;
                break;
        }
    }
}

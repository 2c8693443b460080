namespace ByteStreams.Transport;

/// <summary>
/// The features that were set on a connection, and the slot of each value. Connections whose features were set in the same order, as those of
/// one endpoint are, share one shape and hold only the values.
/// </summary>
internal sealed class FeatureShape
{
    /// <summary>The slot of a feature that was set to null, which hides the connection's own.</summary>
    public const int Hidden = -2;

    /// <summary>The transitions that a shape keeps: an endpoint has one, and middleware may add some. Others are computed every time.</summary>
    private const int MostKept = 8;

    private readonly Type[] _types;
    private readonly int[] _slots;
    private Step[] _steps = [];

    private FeatureShape(Type[] types, int[] slots)
    {
        _types = types;
        _slots = slots;
    }

    /// <summary>The shape of a connection without set features.</summary>
    public static FeatureShape Empty { get; } = new([], []);

    public int Count => _types.Length;

    public Type TypeAt(int index) => _types[index];

    /// <summary>The slot of its value, or <see cref="Hidden"/>.</summary>
    public int SlotAt(int index) => _slots[index];

    public int IndexOf(Type type)
    {
        Type[] types = _types;
        for (int i = 0; i < types.Length; i++)
        {
            if (types[i] == type)
            {
                return i;
            }
        }

        return -1;
    }

    /// <summary>Whether the slot holds a feature's value.</summary>
    public bool IsUsed(int slot) => _slots.AsSpan().Contains(slot);

    /// <summary>Whether the slot holds the value of one feature only.</summary>
    public bool IsAlone(int slot) => _slots.AsSpan().Count(slot) == 1;

    /// <summary>The shape with this feature, whose value is in this slot.</summary>
    public FeatureShape With(Type type, int slot)
    {
        foreach (Step step in Volatile.Read(ref _steps))
        {
            if (step.Type == type && step.Slot == slot)
            {
                return step.To;
            }
        }

        int index = IndexOf(type);
        FeatureShape to;
        if (index < 0)
        {
            to = new FeatureShape([.. _types, type], [.. _slots, slot]);
        }
        else
        {
            to = new FeatureShape(_types, [.. _slots]);
            to._slots[index] = slot;
        }

        // Of two threads that race, one transition is kept; the other is equivalent and is computed again.
        Step[] steps = Volatile.Read(ref _steps);
        if (steps.Length < MostKept)
        {
            Volatile.Write(ref _steps, [.. steps, new Step(type, slot, to)]);
        }

        return to;
    }

    /// <summary>The shape without the feature at this index. Not kept, because removal is rare.</summary>
    public FeatureShape Without(int index) =>
        new([.. _types[..index], .. _types[(index + 1)..]], [.. _slots[..index], .. _slots[(index + 1)..]]);

    private readonly record struct Step(Type Type, int Slot, FeatureShape To);
}

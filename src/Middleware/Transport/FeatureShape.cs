namespace ByteStreams.Transport;

/// <summary>
/// Which features were set on a connection, and where in it each value lies. Connections that were set the same ones in the same
/// order, as those of one endpoint are, share one shape and hold the values alone.
/// </summary>
internal sealed class FeatureShape
{
    /// <summary>The value of a feature that was set to null, which hides the connection's own.</summary>
    public const int Hidden = -2;

    /// <summary>Ways on from one shape that are kept: an endpoint has one, some more come of what middleware decides. Others are made anew.</summary>
    private const int MostKept = 8;

    private readonly Type[] _types;
    private readonly int[] _slots;
    private Step[] _steps = [];

    private FeatureShape(Type[] types, int[] slots)
    {
        _types = types;
        _slots = slots;
    }

    /// <summary>Of a connection on which nothing was set.</summary>
    public static FeatureShape Empty { get; } = new([], []);

    public int Count => _types.Length;

    public Type TypeAt(int index) => _types[index];

    /// <summary>The place of its value, or <see cref="Hidden"/>.</summary>
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

    /// <summary>Whether some feature's value lies there.</summary>
    public bool IsUsed(int slot) => _slots.AsSpan().Contains(slot);

    /// <summary>Whether nobody else's value lies there.</summary>
    public bool IsAlone(int slot) => _slots.AsSpan().Count(slot) == 1;

    /// <summary>The shape with this feature, whose value lies in this place.</summary>
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

        // Two threads may keep one of their two: the other one's is as good, and is made again.
        Step[] steps = Volatile.Read(ref _steps);
        if (steps.Length < MostKept)
        {
            Volatile.Write(ref _steps, [.. steps, new Step(type, slot, to)]);
        }

        return to;
    }

    /// <summary>The shape without the feature at this index. Rare, and so not kept.</summary>
    public FeatureShape Without(int index) =>
        new([.. _types[..index], .. _types[(index + 1)..]], [.. _slots[..index], .. _slots[(index + 1)..]]);

    private readonly record struct Step(Type Type, int Slot, FeatureShape To);
}

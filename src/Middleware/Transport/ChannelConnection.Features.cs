using System.Collections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace ByteStreams.Transport;

/// <content>
/// The connection as its own feature collection. Half of the features are the connection itself and need no entry; Kestrel and the
/// server add five more, whose values are but two objects: Kestrel's connection is four of them.
/// </content>
internal sealed partial class ChannelConnection : IFeatureCollection
{
    /// <summary>Values with a field of their own; more of them lie in an array.</summary>
    private const int OwnSlots = 2;

    private static readonly Type[] OwnFeatures =
    [
        typeof(IConnectionTransportFeature), typeof(IByteStreamTransportFeature), typeof(IConnectionProgress), typeof(IConnectionLifetimeFeature),
        typeof(IConnectionEndPointFeature), typeof(IConnectionIdFeature), typeof(IConnectionItemsFeature), typeof(IMemoryPoolFeature),
    ];

    private static readonly Type[] SocketFeatures = [typeof(IConnectionSocketFeature), typeof(IUnixPeerFeature)];

    /// <summary>What a hidden feature is; never written to.</summary>
    private static object? _nothing;

    private FeatureShape _features = FeatureShape.Empty;
    private object? _feature0;
    private object? _feature1;
    private object?[]? _moreFeatures;
    private int _featureRevision;

    public override IFeatureCollection Features => this;

    bool IFeatureCollection.IsReadOnly => false;

    int IFeatureCollection.Revision => _featureRevision;

    object? IFeatureCollection.this[Type key]
    {
        get
        {
            ArgumentNullException.ThrowIfNull(key);
            int index = _features.IndexOf(key);
            return index >= 0 ? ValueAt(_features.SlotAt(index)) : IsOwn(key) ? this : null;
        }

        set
        {
            ArgumentNullException.ThrowIfNull(key);
            int index = _features.IndexOf(key);
            if (value is null && !IsOwn(key))
            {
                if (index < 0)
                {
                    return;
                }

                Forget(_features.SlotAt(index));
                _features = _features.Without(index);
            }
            else
            {
                Set(index, key, value);
            }

            _featureRevision++;
        }
    }

    TFeature? IFeatureCollection.Get<TFeature>()
        where TFeature : default => ((IFeatureCollection)this)[typeof(TFeature)] is TFeature feature ? feature : default;

    void IFeatureCollection.Set<TFeature>(TFeature? instance)
        where TFeature : default => ((IFeatureCollection)this)[typeof(TFeature)] = instance;

    IEnumerator<KeyValuePair<Type, object>> IEnumerable<KeyValuePair<Type, object>>.GetEnumerator()
    {
        FeatureShape set = _features;
        for (int i = 0; i < set.Count; i++)
        {
            if (ValueAt(set.SlotAt(i)) is object value)
            {
                yield return new(set.TypeAt(i), value);
            }
        }

        foreach (Type own in OwnFeatures.Concat(SocketFeatures))
        {
            if (IsOwn(own) && set.IndexOf(own) < 0)
            {
                yield return new(own, this);
            }
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<KeyValuePair<Type, object>>)this).GetEnumerator();

    private bool IsOwn(Type key) =>
        OwnFeatures.Contains(key) || (_channel is SocketByteChannel && SocketFeatures.Contains(key));

    private void Set(int index, Type key, object? value)
    {
        int before = index >= 0 ? _features.SlotAt(index) : FeatureShape.Hidden;
        if (value is not null && before >= 0 && _features.IsAlone(before))
        {
            ValueAt(before) = value;
            return;
        }

        int slot = value is null ? FeatureShape.Hidden : SlotFor(value);
        Forget(before);
        _features = _features.With(key, slot);
    }

    /// <summary>Where this value lies already, or else will.</summary>
    private int SlotFor(object value)
    {
        int free = -1;
        int slots = OwnSlots + (_moreFeatures?.Length ?? 0);
        for (int slot = 0; slot < slots; slot++)
        {
            if (ReferenceEquals(ValueAt(slot), value))
            {
                return slot;
            }

            if (free < 0 && !_features.IsUsed(slot))
            {
                free = slot;
            }
        }

        if (free < 0)
        {
            free = slots;
            Array.Resize(ref _moreFeatures, Math.Max(2, (slots - OwnSlots) * 2));
        }

        ValueAt(free) = value;
        return free;
    }

    /// <summary>Lets go of a value that is about to be no feature's any more.</summary>
    private void Forget(int slot)
    {
        if (slot >= 0 && _features.IsAlone(slot))
        {
            ValueAt(slot) = null;
        }
    }

    private ref object? ValueAt(int slot)
    {
        switch (slot)
        {
            case FeatureShape.Hidden:
                return ref _nothing;
            case 0:
                return ref _feature0;
            case 1:
                return ref _feature1;
            default:
                return ref _moreFeatures![slot - OwnSlots];
        }
    }
}

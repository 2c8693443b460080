using System.Collections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace ByteStreams.Transport;

/// <content>
/// The connection as its own feature collection. Half of the features are the connection itself and need no entry; Kestrel and the
/// server add five more, which a search from end to end finds faster than a dictionary, in a fifth of its memory.
/// </content>
internal sealed partial class ChannelConnection : IFeatureCollection
{
    /// <summary>What Kestrel sets on each connection (four), and the server (one).</summary>
    private const int UsualFeatures = 5;

    private static readonly Type[] OwnFeatures =
    [
        typeof(IConnectionTransportFeature), typeof(IByteStreamTransportFeature), typeof(IConnectionProgress), typeof(IConnectionLifetimeFeature),
        typeof(IConnectionEndPointFeature), typeof(IConnectionIdFeature), typeof(IConnectionItemsFeature),
    ];

    private static readonly Type[] SocketFeatures = [typeof(IConnectionSocketFeature), typeof(IUnixPeerFeature)];

    // What was set, in the order it was set. A null hides a feature of the connection's own.
    private KeyValuePair<Type, object?>[] _features = [];
    private int _featureCount;
    private int _featureRevision;

    public override IFeatureCollection Features => this;

    bool IFeatureCollection.IsReadOnly => false;

    int IFeatureCollection.Revision => _featureRevision;

    object? IFeatureCollection.this[Type key]
    {
        get
        {
            ArgumentNullException.ThrowIfNull(key);
            int index = IndexOf(key);
            return index >= 0 ? _features[index].Value : IsOwn(key) ? this : null;
        }

        set
        {
            ArgumentNullException.ThrowIfNull(key);
            int index = IndexOf(key);
            if (value is not null || IsOwn(key))
            {
                SetEntry(index, new(key, value));
            }
            else if (index >= 0)
            {
                RemoveEntry(index);
            }
            else
            {
                return;
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
        for (int i = 0; i < _featureCount; i++)
        {
            if (_features[i].Value is object value)
            {
                yield return new(_features[i].Key, value);
            }
        }

        foreach (Type own in OwnFeatures.Concat(SocketFeatures))
        {
            if (IsOwn(own) && IndexOf(own) < 0)
            {
                yield return new(own, this);
            }
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<KeyValuePair<Type, object>>)this).GetEnumerator();

    private bool IsOwn(Type key) =>
        OwnFeatures.Contains(key) || (_channel is SocketByteChannel && SocketFeatures.Contains(key));

    private int IndexOf(Type key)
    {
        for (int i = 0; i < _featureCount; i++)
        {
            if (_features[i].Key == key)
            {
                return i;
            }
        }

        return -1;
    }

    private void SetEntry(int index, KeyValuePair<Type, object?> entry)
    {
        if (index >= 0)
        {
            _features[index] = entry;
            return;
        }

        if (_featureCount == _features.Length)
        {
            Array.Resize(ref _features, Math.Max(UsualFeatures, _featureCount * 2));
        }

        _features[_featureCount++] = entry;
    }

    private void RemoveEntry(int index)
    {
        _featureCount--;
        Array.Copy(_features, index + 1, _features, index, _featureCount - index);
        _features[_featureCount] = default;
    }
}

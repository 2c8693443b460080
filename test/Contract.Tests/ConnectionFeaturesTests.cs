using System.Net;
using ByteStreams.Transport;
using ByteStreams.Transport.Memory;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace ByteStreams.Contract;

/// <summary>The connection's own feature collection against ASP.NET's, which is what middleware expects.</summary>
public sealed class ConnectionFeaturesTests : IDisposable
{
    private static readonly Type[] Types =
    [
        typeof(IConnectionTransportFeature), typeof(IConnectionItemsFeature), typeof(IByteStreamTransportFeature),
        typeof(IConnectionHeartbeatFeature), typeof(IConnectionCompleteFeature), typeof(IConnectionLifetimeNotificationFeature),
        typeof(string), typeof(Uri), typeof(Version), typeof(IPAddress),
    ];

    private readonly ChannelConnection _connection = new(InMemoryChannel.CreatePair().First, null, null, new ByteStreamServerOptions());

    public void Dispose() => _connection.Abort();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void SetAndGet_AnyOrder_AnswerAsFeatureCollection(int seed)
    {
        IFeatureCollection features = _connection.Features;
        var model = new FeatureCollection();
        foreach (KeyValuePair<Type, object> own in features)
        {
            Assert.Same(_connection, own.Value);
            model[own.Key] = own.Value;
        }

        Assert.Equal(8, model.Count());
        var random = new Random(seed);
        object[] shared = [new(), new(), _connection];
        for (int i = 0; i < 500; i++)
        {
            Type type = Types[random.Next(Types.Length)];
            // One object is often several features, as Kestrel's connection is, or the connection itself.
            object? value = random.Next(4) switch { 0 => null, 1 => shared[random.Next(shared.Length)], _ => new object() };
            int before = features.Revision;
            bool changes = value is not null || model[type] is not null;
            features[type] = value;
            model[type] = value;

            Assert.True(!changes || features.Revision != before);
            Assert.All(Types, each => Assert.Same(model[each], features[each]));
            Assert.Equal(model.OrderBy(each => each.Key.FullName), features.OrderBy(each => each.Key.FullName));
        }
    }

    [Fact]
    public void Features_NotASocket_HaveNoneOfSockets()
    {
        Assert.Null(_connection.Features.Get<IConnectionSocketFeature>());
        Assert.Null(_connection.Features.Get<IUnixPeerFeature>());
    }

    [Fact]
    public void Set_AndRestored_IsTheConnectionAgain()
    {
        IFeatureCollection features = _connection.Features;
        IConnectionItemsFeature before = features.Get<IConnectionItemsFeature>()!;

        features.Set<IConnectionItemsFeature>(null);
        Assert.Null(features.Get<IConnectionItemsFeature>());
        features.Set(before);

        Assert.Same(_connection, features.Get<IConnectionItemsFeature>());
    }
}

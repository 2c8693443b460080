using System.Buffers;
using System.Net;
using ByteStreams.Transport;
using Microsoft.AspNetCore.Connections.Features;

namespace ByteStreams.Contract.Tests;

/// <summary>What a connection is for Kestrel's own HTTP, and what it is for a pair.</summary>
public sealed class KestrelConventionsTests : IDisposable
{
    private readonly ScriptedChannel _channel = new();
    private readonly ChannelConnection _connection;

    public KestrelConventionsTests() => _connection = new ChannelConnection(
        _channel, null, new IPEndPoint(IPAddress.Loopback, 1), new ByteStreamTransportOptions { FollowsKestrel = true, LingerTimeout = TimeSpan.Zero });

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public void Dispose() => _connection.Abort();

    [Fact]
    public async Task ConnectionClosed_PeerEndsAndNothingIsRead_Fires()
    {
        Task fired = FiredAsync(_connection.ConnectionClosed);
        _channel.Deliver("half of a request"u8.ToArray());
        Assert.False(fired.IsCompleted);

        _channel.End();

        await fired.WaitAsync(TimeSpan.FromSeconds(60), Test);
    }

    [Fact]
    public async Task ConnectionClosed_PeerResetsAndNothingIsRead_Fires()
    {
        Task fired = FiredAsync(_connection.ConnectionClosed);

        _channel.Fail(new Microsoft.AspNetCore.Connections.ConnectionResetException("reset"));

        await fired.WaitAsync(TimeSpan.FromSeconds(60), Test);
    }

    [Fact]
    public void ConnectionClosed_NotUsed_NothingIsReceivedAhead()
    {
        Assert.False(_channel.IsWaitPending);
        _ = _connection.ConnectionClosed;
        Assert.True(_channel.IsWaitPending);
    }

    [Fact]
    public async Task ConnectionClosed_APairHasTheConnection_DoesNotFireAtThePeersEnd()
    {
        Task fired = FiredAsync(_connection.ConnectionClosed);
        _connection.FollowsKestrel = false;

        _channel.End();

        Assert.True((await _connection.Transport.Input.ReadAsync(Test)).IsCompleted);
        Assert.False(fired.IsCompleted);
        _connection.Close();
        await fired.WaitAsync(TimeSpan.FromSeconds(60), Test);
    }

    [Fact]
    public async Task ConnectionClosed_MiddlewareSetsALinkedToken_BothFire()
    {
        CancellationToken own = _connection.ConnectionClosed;
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(own);
        _connection.ConnectionClosed = linked.Token;
        Assert.Equal(linked.Token, _connection.Features.Get<IConnectionLifetimeFeature>()!.ConnectionClosed);

        _connection.Abort();

        await FiredAsync(_connection.ConnectionClosed).WaitAsync(TimeSpan.FromSeconds(60), Test);
        Assert.True(own.IsCancellationRequested);
    }

    [Fact]
    public void MemoryPool_IsAFeatureOfEachConnection()
    {
        using IMemoryOwner<byte> block = _connection.Features.Get<IMemoryPoolFeature>()!.MemoryPool.Rent();
        Assert.NotEqual(0, block.Memory.Length);
    }

    private static async Task FiredAsync(CancellationToken token)
    {
        var fired = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using CancellationTokenRegistration registration = token.Register(fired.SetResult);
        await fired.Task;
    }
}

using System.Net;
using System.Net.Sockets;
using ByteStreams.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Faults.Tests.Testing;

/// <summary>The chaos relay does what its plan says to the bytes that it says, and the same again from the same seed.</summary>
public sealed class ChaosRelayTests : IAsyncLifetime
{
    private readonly List<IAsyncDisposable> _owned = [];
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        return default;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable owned in Enumerable.Reverse(_owned))
        {
            await owned.DisposeAsync();
        }

        _listener.Dispose();
    }

    [Fact]
    public async Task Seed_TheSameAgain_DoesTheSameToTheSameBytes()
    {
        int[] first = await DroppedAtAsync(seed: 7);
        int[] again = await DroppedAtAsync(seed: 7);
        int[] other = await DroppedAtAsync(seed: 8);

        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        Assert.Distinct(first);

        async Task<int[]> DroppedAtAsync(int seed)
        {
            await using ChaosRelay relay = await ChaosRelay.StartAsync(
                _listener.LocalEndPoint!, new ChaosOptions { Seed = seed, DropChance = 1, EndWithin = 5000, MaxPiece = 100 });
            var counts = new List<int>();
            for (int i = 0; i < 5; i++)
            {
                await using ScriptedPeer client = await ScriptedPeer.ConnectAsync(relay.EndPoint, cancellationToken: Test);
                using Socket server = await _listener.AcceptAsync(Test);
                await client.SendAsync(new byte[6000], Test);
                await client.HalfCloseAsync(Test);
                // Nothing tells the receiver where the relay has begun to drop: what is there when all was taken is what came.
                int came;
                do
                {
                    came = server.Available;
                    await Task.Delay(100, Test);
                }
                while (relay.Count(ChaosAction.Drop) <= i || server.Available != came);

                counts.Add(came);
            }

            return [.. counts];
        }
    }

    [Fact]
    public async Task Step_Reset_BothSidesSeeItAfterTheBytes()
    {
        (ScriptedPeer client, ScriptedPeer server) = await ConnectAsync(new ChaosStep(3, ChaosAction.Reset));
        await client.SendAsync("abcdef"u8, Test);
        await client.ExpectResetAsync(Test);
        await server.ExpectResetAsync(Test);
    }

    [Fact]
    public async Task Step_HalfClose_EndsOneDirectionAndLeavesTheOther()
    {
        (ScriptedPeer client, ScriptedPeer server) = await ConnectAsync(new ChaosStep(3, ChaosAction.HalfClose));
        await client.SendAsync("abcdef"u8, Test);
        await server.ExpectAsync("abc"u8, Test);
        await server.ExpectEndAsync(Test);
        await server.SendAsync("answer"u8, Test);
        await client.ExpectAsync("answer"u8, Test);
        await server.HalfCloseAsync(Test);
        await client.ExpectEndAsync(Test);
    }

    [Fact]
    public async Task Step_Drop_TheReceiverHearsNothingMore()
    {
        (ScriptedPeer client, ScriptedPeer server) = await ConnectAsync(new ChaosStep(3, ChaosAction.Drop));
        await client.SendAsync("abcdef"u8, Test);
        await client.HalfCloseAsync(Test);
        await server.ExpectAsync("abc"u8, Test);
        server.Patience = TimeSpan.FromMilliseconds(200);
        ScriptedPeerException nothing = await Assert.ThrowsAsync<ScriptedPeerException>(() => server.ExpectEndAsync(Test));
        Assert.Equal("Expected the end; received nothing for 0.2 s.", nothing.Message);
    }

    [Fact]
    public async Task Step_Pause_LastsAsLongOnItsClock()
    {
        var time = new FakeTimeProvider();
        (ScriptedPeer client, ScriptedPeer server) = await ConnectAsync(time, new ChaosStep(3, ChaosAction.Pause, TimeSpan.FromSeconds(5)));
        await client.SendAsync("abcdef"u8, Test);
        await server.ExpectAsync("abc"u8, Test);
        Task rest = server.ExpectAsync("def"u8, Test);
        await Task.Delay(50, Test);
        Assert.False(rest.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(5));
        await rest;
    }

    [Fact]
    public async Task Step_Hold_WhatComesInPiecesLeavesInOneSend()
    {
        var time = new FakeTimeProvider();
        (ScriptedPeer client, ScriptedPeer server) = await ConnectAsync(time, new ChaosStep(6, Hold: TimeSpan.FromSeconds(5)), new ChaosStep(9, Hold: TimeSpan.FromSeconds(5)));
        await client.SendAsync("abc"u8, Test);
        Task whole = server.ExpectAsync("abcdef"u8, Test);
        await Task.Delay(50, Test);
        Assert.False(whole.IsCompleted);
        await client.SendAsync("def"u8, Test);
        await whole;

        // One that is not whole in time leaves as it is.
        await client.SendAsync("ghi"u8, Test);
        Task part = server.ExpectAsync("ghi"u8, Test);
        while (!part.IsCompleted)
        {
            time.Advance(TimeSpan.FromSeconds(5));
            await Task.WhenAny(part, Task.Delay(10, Test));
        }

        await part;
    }

    [Fact]
    public async Task Upstream_IsNotThere_TheClientIsReset()
    {
        int port = Ports.Refusing(out Socket holder);
        using Socket held = holder;
        await using ChaosRelay relay = await ChaosRelay.StartAsync(new IPEndPoint(IPAddress.Loopback, port));
        // The connect itself may meet the reset.
        Exception? early = await Record.ExceptionAsync(async () =>
        {
            await using ScriptedPeer client = await ScriptedPeer.ConnectAsync(relay.EndPoint, cancellationToken: Test);
            await client.ExpectResetAsync(Test);
        });
        Assert.True(early is null or SocketException { SocketErrorCode: SocketError.ConnectionReset }, $"{early}");
        Assert.Equal(1, relay.Unreachable);
    }

    [Theory]
    [InlineData(0, 1, "MinPiece (0) is at least 1")]
    [InlineData(5, 4, "MaxPiece (4) at least MinPiece")]
    public async Task Start_OptionsContradictEachOther_ThrowsAndNamesThem(int least, int most, string message)
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(
            () => ChaosRelay.StartAsync(_listener.LocalEndPoint!, new ChaosOptions { MinPiece = least, MaxPiece = most }));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private Task<(ScriptedPeer Client, ScriptedPeer Server)> ConnectAsync(params ChaosStep[] toUpstream) => ConnectAsync(TimeProvider.System, toUpstream);

    private async Task<(ScriptedPeer Client, ScriptedPeer Server)> ConnectAsync(TimeProvider time, params ChaosStep[] toUpstream)
    {
        ChaosRelay relay = await ChaosRelay.StartAsync(
            _listener.LocalEndPoint!,
            new ChaosOptions { TimeProvider = time, Plan = (_, direction) => direction == ChaosDirection.ToUpstream ? toUpstream : [] });
        _owned.Add(relay);
        ScriptedPeer client = await ScriptedPeer.ConnectAsync(relay.EndPoint, cancellationToken: Test);
        _owned.Add(client);
        var server = new ScriptedPeer(await _listener.AcceptAsync(Test));
        _owned.Add(server);
        return (client, server);
    }
}

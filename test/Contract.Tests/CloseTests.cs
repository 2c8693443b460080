using System.Buffers;
using System.Net;
using System.Text;
using ByteStreams.Transport;

namespace ByteStreams.Contract.Tests;

/// <summary>How a close ends this side's direction: by a shutdown, or by the close of the channel alone.</summary>
public sealed class CloseTests
{
    [Fact, Trait("Contract", "W3")]
    public async Task Close_PeerHasEnded_ClosesWithoutAShutdown()
    {
        var channel = new ScriptedChannel { ClosesWithEnd = true };
        ChannelConnection connection = await ConnectAsync(channel, ended: true);

        connection.Transport.Output.Write("answer"u8);
        connection.Close();

        Assert.Equal("answer", Encoding.ASCII.GetString(channel.Sent));
        Assert.Equal(0, channel.Shutdowns);
        Assert.True(channel.IsClosed);
        await connection.WaitClosedAsync().WaitAsync(Patience.Limit, TestContext.Current.CancellationToken);
        Assert.Equal(ConnectionCloseReason.ClosedByPeer, connection.CloseReason);
    }

    [Fact, Trait("Contract", "W3")]
    public async Task Close_PeerHasEndedAndTakesNothing_SendsEverythingFirst()
    {
        var channel = new ScriptedChannel { ClosesWithEnd = true, Paused = true };
        ChannelConnection connection = await ConnectAsync(channel, ended: true);

        connection.Transport.Output.Write("answer"u8);
        connection.Close();
        Assert.False(channel.IsClosed);
        channel.Take(6);

        await connection.WaitClosedAsync().WaitAsync(Patience.Limit, TestContext.Current.CancellationToken);
        Assert.Equal("answer", Encoding.ASCII.GetString(channel.Sent));
        Assert.Equal(0, channel.Shutdowns);
        Assert.True(channel.IsClosed);
    }

    [Fact, Trait("Contract", "W3")]
    public async Task Close_PeerHasNotEnded_ShutsDownAndWaitsForIt()
    {
        var channel = new ScriptedChannel { ClosesWithEnd = true };
        ChannelConnection connection = await ConnectAsync(channel, ended: false);

        connection.Close();

        Assert.Equal(1, channel.Shutdowns);
        Assert.False(channel.IsClosed);
        channel.End();
        await connection.WaitClosedAsync().WaitAsync(Patience.Limit, TestContext.Current.CancellationToken);
        Assert.True(channel.IsClosed);
    }

    [Fact, Trait("Contract", "W3")]
    public async Task Close_ChannelThatNeedsTheShutdown_ShutsDownFirst()
    {
        var channel = new ScriptedChannel();
        ChannelConnection connection = await ConnectAsync(channel, ended: true);

        connection.Close();

        Assert.Equal(1, channel.Shutdowns);
        Assert.True(channel.IsClosed);
    }

    private static async Task<ChannelConnection> ConnectAsync(ScriptedChannel channel, bool ended)
    {
        var local = new IPEndPoint(IPAddress.Loopback, 1);
        var connection = new ChannelConnection(channel, local, local, new ByteStreamTransportOptions());
        if (ended)
        {
            channel.End();
            Assert.True((await connection.Transport.Input.ReadAsync(TestContext.Current.CancellationToken)).IsCompleted);
        }

        return connection;
    }
}

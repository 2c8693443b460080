using System.IO.Pipelines;
using ByteStreams.Transport;
using ByteStreams.Transport.Memory;

namespace ByteStreams.Contract;

/// <summary>The first cause stays; only a clean close may dispatch out not to have been one.</summary>
public sealed class CloseReasonTests
{
    [Theory(Timeout = 120000)]
    [InlineData(ConnectionCloseReason.None, ConnectionCloseReason.ResetByPeer)]
    [InlineData(ConnectionCloseReason.Drained, ConnectionCloseReason.ResetByPeer)]
    [InlineData(ConnectionCloseReason.TlsHandshakeFailed, ConnectionCloseReason.TlsHandshakeFailed)]
    [InlineData(ConnectionCloseReason.RefusedTotal, ConnectionCloseReason.RefusedTotal)]
    public async Task Reset_AfterAClose_IsTheReasonOnlyWhereTheCloseWasClean(ConnectionCloseReason closed, ConnectionCloseReason expected)
    {
        (ByteChannel ours, ByteChannel theirs) = InMemoryChannel.CreatePair();
        var connection = new ChannelConnection(ours, null, null, new ByteStreamServerOptions());
        var peer = new ChannelConnection(theirs, null, null, new ByteStreamServerOptions());

        connection.Close(closed);
        // The end has come: the close waits for the peer's.
        ReadResult end = await peer.Transport.Input.ReadAsync(TestContext.Current.CancellationToken);
        Assert.True(end.IsCompleted);
        peer.Abort();

        await Record.ExceptionAsync(connection.WaitClosedAsync);
        Assert.Equal(expected, connection.CloseReason);
    }
}

using DotNetty.Transport.Channels;

namespace Benchmarks.DotNettyPeer;

/// <summary>Sends back every decoded message, and flushes once for what one read brought.</summary>
internal sealed class EchoHandler : ChannelHandlerAdapter
{
    public override void ChannelRead(IChannelHandlerContext context, object message) => context.WriteAsync(message);

    public override void ChannelReadComplete(IChannelHandlerContext context) => context.Flush();

    public override void ExceptionCaught(IChannelHandlerContext context, Exception exception)
    {
        Console.Error.WriteLine(exception);
        context.CloseAsync();
    }
}

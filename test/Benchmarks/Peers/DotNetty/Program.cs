using System.Net;
using Benchmarks;
using Benchmarks.DotNettyPeer;
using DotNetty.Codecs;
using DotNetty.Transport.Bootstrapping;
using DotNetty.Transport.Channels;
using DotNetty.Transport.Channels.Sockets;

// DotNetty has no Unix sockets.
const int LongestMessage = 1 << 26;
var arguments = new PeerArguments(args);
var acceptors = new MultithreadEventLoopGroup(1);
var loops = new MultithreadEventLoopGroup(arguments.Threads);
if (arguments.Line is int line)
{
    await ListenAsync(line, () => new LineBasedFrameDecoder(LongestMessage, stripDelimiter: false, failFast: true));
}

if (arguments.Frame is int frame)
{
    await ListenAsync(frame, () => new LengthFieldBasedFrameDecoder(LongestMessage, 0, sizeof(int)));
}

await PeerProcess.ServeUntilTerminatedAsync();

Task ListenAsync(int port, Func<IChannelHandler> createDecoder) => new ServerBootstrap()
    .Group(acceptors, loops)
    .Channel<TcpServerSocketChannel>()
    .Option(ChannelOption.SoBacklog, 4096)
    .ChildOption(ChannelOption.TcpNodelay, true)
    .ChildHandler(new ActionChannelInitializer<ISocketChannel>(channel => channel.Pipeline.AddLast(createDecoder(), new EchoHandler())))
    .BindAsync(IPAddress.Loopback, port);

using Benchmarks;
using Benchmarks.Pair;
using ByteStreams;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

// The whole stack, as an application has it: the host, endpoints, and a handler from a scope of its own for each connection.
var arguments = new PeerArguments(args, ["--owned"], ["--engine"]);
ByteStreamEngine engine = arguments.Value("--engine") is string name ? Enum.Parse<ByteStreamEngine>(name, ignoreCase: true) : ByteStreamEngine.Default;
HostApplicationBuilder builder = Host.CreateApplicationBuilder();
builder.Logging.SetMinimumLevel(LogLevel.Warning);
ByteStreamsBuilder streams = builder.Services.AddByteStreams().AddHandler<BlockingEcho>("block");
if (arguments.Has("--owned"))
{
    streams.AddHandler<OwnedLineEcho>("line").AddHandler<OwnedFrameEcho>("frame");
}
else
{
    streams.AddHandler<LineEcho>("line").AddHandler<FrameEcho>("frame");
}

Add("line", arguments.Line, "line");
Add("frame", arguments.Frame, "frame");
Add("block", arguments.Block, "block");
AddUnix("unix", arguments.Unix, "line");
AddUnix("unix-frame", arguments.UnixFrame, "frame");

using IHost host = builder.Build();
await host.StartAsync();
Console.WriteLine("ready");
await host.WaitForShutdownAsync();

void Add(string name, int? port, string handler)
{
    if (port is int number)
    {
        streams.AddEndpoint(name, $"tcp://127.0.0.1:{number}", handler, Configure);
    }
}

void AddUnix(string name, string? path, string handler)
{
    if (path is not null)
    {
        streams.AddEndpoint(name, $"unix:{path}", handler, Configure);
    }
}

void Configure(ByteStreamServerOptions options)
{
    options.Backlog = 4096;
    options.Engine = engine;
    options.EventLoops = arguments.Threads;
}

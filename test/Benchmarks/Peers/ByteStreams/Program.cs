using Benchmarks;
using Benchmarks.Pair;
using ByteStreams;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

// The whole stack of an application: the host, configured endpoints with the default middleware (telemetry, a connection limit, a send
// stall timeout), and a handler in its own scope per connection.
// --no-middleware disables the middleware; --all-middleware sets every limit, list and timeout.
var arguments = new PeerArguments(args, ["--owned", "--batch", "--no-middleware", "--all-middleware"], ["--engine"]);
HostApplicationBuilder builder = Host.CreateApplicationBuilder();
builder.Logging.SetMinimumLevel(LogLevel.Warning);
var settings = new Dictionary<string, string?>
{
    ["Defaults:Backlog"] = "4096",
    ["Defaults:Engine"] = arguments.Value("--engine"),
    ["Defaults:EventLoops"] = arguments.Threads.ToString(System.Globalization.CultureInfo.InvariantCulture),
};
if (arguments.Has("--no-middleware"))
{
    settings["Defaults:Telemetry:Enabled"] = "false";
    settings["Defaults:Admission:Enabled"] = "false";
    settings["Defaults:Timeouts:Enabled"] = "false";
}

if (arguments.Has("--all-middleware"))
{
    settings["Defaults:Admission:MaxConnections"] = "100000";
    settings["Defaults:Admission:MaxConnectionsPerClient"] = "100000";
    settings["Defaults:Admission:ConnectionsPerSecond"] = "1000000";
    settings["Defaults:Admission:ConnectionsPerSecondPerClient"] = "1000000";
    settings["Defaults:Access:Allow"] = "10.0.0.0/8,127.0.0.0/8,unix";
    settings["Defaults:Timeouts:FirstByte"] = "1h";
    settings["Defaults:Timeouts:ReceiveIdle"] = "1h";
    settings["Defaults:Timeouts:MinReceiveRate"] = "1";
    settings["Defaults:Timeouts:Lifetime"] = "24h";
    settings["Defaults:Timeouts:HalfClosed"] = "1h";
}

Add("line", arguments.Line is int line ? $"tcp://127.0.0.1:{line}" : null, "line", arguments.Upstream);
Add("frame", arguments.Frame is int frame ? $"tcp://127.0.0.1:{frame}" : null, "frame", arguments.UpstreamFrame);
Add("block", arguments.Block is int block ? $"tcp://127.0.0.1:{block}" : null, "block");
Add("unix", arguments.Unix is string unix ? $"unix:{unix}" : null, "line");
Add("unix-frame", arguments.UnixFrame is string unixFrame ? $"unix:{unixFrame}" : null, "frame");
if (arguments.Tls is int tls)
{
    Add("tls", $"tls://127.0.0.1:{tls}", "frame");
    settings["Endpoints:tls:Tls:Certificates:0:Path"] = arguments.Certificate;
    settings["Endpoints:tls:Tls:Certificates:0:KeyPath"] = arguments.Key;
}

ByteStreamsBuilder streams = builder.Services.AddByteStreams()
    .AddHandler<BlockingEcho>("block")
    .LoadFromConfig(new ConfigurationBuilder().AddInMemoryCollection(settings.Where(setting => setting.Value is not null)).Build());
if (arguments.Has("--owned"))
{
    streams.AddHandler<OwnedLineEcho>("line").AddHandler<OwnedFrameEcho>("frame");
}
else if (arguments.Has("--batch"))
{
    streams.AddHandler<BatchLineEcho>("line").AddHandler<BatchFrameEcho>("frame");
}
else
{
    streams.AddHandler<LineEcho>("line").AddHandler<FrameEcho>("frame");
}

using IHost host = builder.Build();
await host.StartAsync();
Console.WriteLine("ready");
await host.WaitForShutdownAsync();

void Add(string name, string? url, string handler, string? upstream = null)
{
    if (url is not null)
    {
        settings[$"Endpoints:{name}:Url"] = url;
        settings[$"Endpoints:{name}:Handler"] = upstream is null ? handler : "relay";
        settings[$"Endpoints:{name}:Relay:Upstreams:0"] = upstream is null ? null : $"unix:{upstream}";
    }
}

using System.Net;
using Benchmarks;
using Benchmarks.Groups;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

// Sends each line of the control connection to every connection of --messages, with ByteStreamConnections, or with SignalR for --server signalr.
// --registration none|connection|user|group: the registration of a connection of --messages; group is the default.
var arguments = new PeerArguments(args, options: ["--server", "--registration", "--messages", "--control"]);
using IHost host = arguments.Value("--server") == "signalr" ? SignalR(arguments) : ByteStreams(arguments);
await host.StartAsync();
Console.WriteLine("ready");
await host.WaitForShutdownAsync();

static IHost ByteStreams(PeerArguments arguments)
{
    HostApplicationBuilder builder = Host.CreateApplicationBuilder();
    builder.Logging.SetMinimumLevel(LogLevel.Warning);
    builder.Services.AddSingleton(new Registration(arguments.Value("--registration") ?? "group"));
    builder.Services.AddByteStreams()
        .AddHandler<Receiver>("messages")
        .AddHandler<Control>("control")
        .LoadFromConfig(new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Defaults:Backlog"] = "4096",
            ["Defaults:EventLoops"] = arguments.Threads.ToString(System.Globalization.CultureInfo.InvariantCulture),
            ["Endpoints:messages:Url"] = $"tcp://127.0.0.1:{arguments.Port("--messages")}",
            ["Endpoints:messages:Handler"] = "messages",
            ["Endpoints:control:Url"] = $"tcp://127.0.0.1:{arguments.Port("--control")}",
            ["Endpoints:control:Handler"] = "control",
        }).Build());
    return builder.Build();
}

// Keep-alive pings are disabled in effect, because the load generator verifies every byte.
static WebApplication SignalR(PeerArguments arguments)
{
    WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
    builder.Logging.SetMinimumLevel(LogLevel.Warning);
    builder.WebHost.UseSockets(options => options.Backlog = 4096);
    builder.Services.AddSignalR(options =>
    {
        options.KeepAliveInterval = TimeSpan.FromHours(1);
        options.ClientTimeoutInterval = TimeSpan.FromHours(2);
    });
    builder.WebHost.ConfigureKestrel(kestrel =>
    {
        kestrel.Listen(IPAddress.Loopback, arguments.Port("--messages"));
        kestrel.Listen(IPAddress.Loopback, arguments.Port("--control"), listen => listen.UseConnectionHandler<HubControl>());
    });
    WebApplication application = builder.Build();
    application.MapHub<ReceiverHub>("/hub");
    return application;
}

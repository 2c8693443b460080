using System.Security.Cryptography.X509Certificates;
using Benchmarks;
using Benchmarks.Kestrel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

// Kestrel as it comes; with --inline both of its switches are set that keep a connection on the thread its data arrived on.
var arguments = new PeerArguments(args, ["--inline"]);
bool inline = arguments.Has("--inline");
if (inline)
{
    Environment.SetEnvironmentVariable("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS", "1");
}

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseKestrelHttpsConfiguration();
builder.WebHost.UseSockets(options =>
{
    options.UnsafePreferInlineScheduling = inline;
    options.Backlog = 4096;
});
builder.WebHost.ConfigureKestrel(kestrel =>
{
    if (arguments.Upstream is string upstream && arguments.UpstreamFrame is string upstreamFrame)
    {
        Relay(kestrel, arguments.Line, upstream);
        Relay(kestrel, arguments.Frame, upstreamFrame);
        Relay(kestrel, arguments.Tls, upstreamFrame, listen => listen.UseHttps(X509Certificate2.CreateFromPemFile(arguments.Certificate!, arguments.Key)));
        return;
    }

    Listen<LineHandler>(kestrel, arguments.Line);
    Listen<FrameHandler>(kestrel, arguments.Frame);
    Listen<BlockingHandler>(kestrel, arguments.Block);
    if (arguments.Tls is int tls)
    {
        kestrel.Listen(System.Net.IPAddress.Loopback, tls, listen => listen
            .UseHttps(X509Certificate2.CreateFromPemFile(arguments.Certificate!, arguments.Key))
            .UseConnectionHandler<FrameHandler>());
    }

    if (arguments.Unix is string unix)
    {
        kestrel.ListenUnixSocket(unix, listen => listen.UseConnectionHandler<LineHandler>());
    }

    if (arguments.UnixFrame is string unixFrame)
    {
        kestrel.ListenUnixSocket(unixFrame, listen => listen.UseConnectionHandler<FrameHandler>());
    }
});

await using WebApplication application = builder.Build();
await application.StartAsync();
Console.WriteLine("ready");
await application.WaitForShutdownAsync();

static void Relay(KestrelServerOptions kestrel, int? port, string upstream, Action<ListenOptions>? configure = null)
{
    if (port is int number)
    {
        kestrel.Listen(System.Net.IPAddress.Loopback, number, listen =>
        {
            configure?.Invoke(listen);
            listen.Run(new RelayHandler(upstream).OnConnectedAsync);
        });
    }
}

static void Listen<THandler>(KestrelServerOptions kestrel, int? port) where THandler : ConnectionHandler
{
    if (port is int number)
    {
        kestrel.Listen(System.Net.IPAddress.Loopback, number, listen => listen.UseConnectionHandler<THandler>());
    }
}

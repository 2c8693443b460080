using System.Net;
using System.Security.Cryptography.X509Certificates;
using Benchmarks;
using Benchmarks.Http;
using ByteStreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

// One application on Kestrel. --transport selects what carries it: Kestrel's own sockets, or this library's transport on one of its engines.
// The transports keep their defaults.
var arguments = new PeerArguments(args, options: ["--transport", "--http", "--h2c", "--https", "--websocket"]);
WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseKestrelHttpsConfiguration();
switch (arguments.Value("--transport"))
{
    case "stock":
        builder.WebHost.UseSockets();
        break;
    case "epoll":
        builder.Services.AddByteStreamTransport(options => options.Engine = ByteStreamEngine.Epoll);
        break;
    case "socket":
        builder.Services.AddByteStreamTransport(options => options.Engine = ByteStreamEngine.Socket);
        break;
    default:
        throw new ArgumentException("--transport is stock, epoll or socket.");
}

builder.WebHost.ConfigureKestrel(kestrel =>
{
    kestrel.Listen(IPAddress.Loopback, arguments.Port("--http"), listen => listen.Protocols = HttpProtocols.Http1);
    kestrel.Listen(IPAddress.Loopback, arguments.Port("--websocket"), listen => listen.Protocols = HttpProtocols.Http1);
    kestrel.Listen(IPAddress.Loopback, arguments.Port("--h2c"), listen => listen.Protocols = HttpProtocols.Http2);
    kestrel.Listen(IPAddress.Loopback, arguments.Port("--https"),
        listen => listen.UseHttps(X509Certificate2.CreateFromPemFile(arguments.Certificate!, arguments.Key)));
});

await using WebApplication application = builder.Build();
application.UseWebSockets();
application.Use(next => context => Responses.RespondAsync(context) ?? next(context));
await application.StartAsync();
Console.WriteLine("ready");
await application.WaitForShutdownAsync();

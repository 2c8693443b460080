// An HTTP server in a process of its own, for tests that trace its system calls or hand it sockets:
//     Http.Server Stock|ByteStreams tcp|systemd
// It prints "ready ADDRESS" for each address and stops at the end of its standard input.
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
if (args[0] == "ByteStreams")
{
    builder.Services.AddByteStreamTransport();
}

builder.WebHost.ConfigureKestrel(kestrel =>
{
    if (args[1] == "systemd")
    {
        kestrel.UseSystemd();
    }
    else
    {
        kestrel.Listen(IPAddress.Loopback, 0);
        kestrel.Listen(IPAddress.Loopback, 0, endpoint => endpoint.Protocols = HttpProtocols.Http2);
    }
});
await using WebApplication application = builder.Build();
application.MapGet("/plain", () => "Hello, World!");
application.MapGet("/json", (HttpContext context) => context.Response.WriteAsJsonAsync(new Dictionary<string, string> { ["message"] = "Hello, World!" }));
await application.StartAsync();
foreach (string address in application.Urls)
{
    Console.WriteLine($"ready {address}");
}

await Console.In.ReadToEndAsync();
await application.StopAsync();

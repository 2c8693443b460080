using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace StreamsHost.Tests.Commands;

/// <summary><c>healthcheck</c> with an HTTP server that says what the test wants.</summary>
public sealed class HealthcheckTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-health-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Healthcheck_Ready_ExitsWith0()
    {
        await using WebApplication server = await StartAsync("http://127.0.0.1:0", "/readyz", 200, "Healthy");
        string url = server.Urls.First();

        CliResult configured = await Cli.RunAsync("healthcheck", $"--Admin:Url={url}");
        CliResult named = await Cli.RunAsync("healthcheck", url);

        Assert.Equal((0, $"{url}/readyz answered 200: Healthy{Environment.NewLine}", string.Empty), (configured.ExitCode, configured.Output, configured.Errors));
        Assert.Equal((0, $"{url} answered 200: Healthy{Environment.NewLine}", string.Empty), (named.ExitCode, named.Output, named.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Healthcheck_FileNamedByTheEnvironment_IsWhereTheAddressStands()
    {
        string socket = Path.Combine(_folder, "admin.sock");
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Unix sockets need a Unix system");
        await using WebApplication server = await StartAsync($"http://unix:{socket}", "/readyz", 200, "Healthy");
        string file = Path.Combine(_folder, "settings.json");
        await File.WriteAllTextAsync(file, $$"""{ "Admin": { "Url": [ "unix:{{socket}}", "http://127.0.0.1:1" ] } }""", Cancel);

        CliResult result = await Cli.RunAsync(new CliStart { Environment = { ["STREAMSHOST_CONFIG"] = file } }, "healthcheck");

        Assert.Equal((0, $"unix:{socket} answered 200: Healthy{Environment.NewLine}", string.Empty), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Healthcheck_BacklogFull_WaitsForItsTimeout()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere a full backlog refuses");
        string path = Path.Combine(_folder, "busy.sock");
        using var listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen(0);
        using var filler = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        filler.Connect(new UnixDomainSocketEndPoint(path));

        CliResult result = await Cli.RunAsync("healthcheck", $"unix:{path}", "--timeout", "1s");

        Assert.Equal((1, string.Empty, $"unix:{path} did not answer within 1 s.{Environment.NewLine}"), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Healthcheck_AVariableNamesAProxy_AsksTheHostAllTheSame()
    {
        await using WebApplication server = await StartAsync("http://127.0.0.1:0", "/readyz", 200, "Healthy");

        CliResult result = await Cli.RunAsync(new CliStart { Environment = { ["http_proxy"] = "http://127.0.0.1:1", ["no_proxy"] = string.Empty } }, "healthcheck", server.Urls.First());

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Healthcheck_NotReady_ExitsWith1AndTheAnswer()
    {
        await using WebApplication server = await StartAsync("http://127.0.0.1:0", "/livez", 503, "failed\nendpoints: draining\n");
        string url = server.Urls.First() + "/livez";

        CliResult result = await Cli.RunAsync("healthcheck", url);

        Assert.Equal((1, string.Empty, $"{url} answered 503: failed; endpoints: draining{Environment.NewLine}"), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Healthcheck_NoAnswer_IsBounded()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        await using WebApplication server = builder.Build();
        server.Run(context => Task.Delay(Timeout.Infinite, context.RequestAborted));
        await server.StartAsync(Cancel);
        string url = server.Urls.First() + "/x";

        CliResult result = await Cli.RunAsync("healthcheck", url, "--timeout", "300ms");

        Assert.Equal((1, string.Empty, $"{url} did not answer within 0.3 s.{Environment.NewLine}"), (result.ExitCode, result.Output, result.Errors));
    }

    [Theory(Timeout = 120000)]
    [InlineData("http://127.0.0.1:1/readyz: Connection refused (127.0.0.1:1)", "--Admin:Url=http://*:1")]
    [InlineData("Admin:Url has port 0, which is any free port. Set a port, or give a url.", "--Admin:Url=http://127.0.0.1:0")]
    [InlineData("Admin:Enabled is false: there is no HTTP side. Set it to true, or give a url.", "--Admin:Enabled=false")]
    [InlineData("Admin:Url: 'ftp://x' has no known scheme. Write http://host:port, unix:/path or unix:@name.", "--Admin:Url=ftp://x")]
    [InlineData("unix:/no/such.sock: there is no such socket.", "unix:/no/such.sock")]
    [InlineData("url: 'localhost:7000' has no known scheme. Write http://host:port/path, unix:/path or unix:@name.", "localhost:7000")]
    public async Task Healthcheck_NoListener_IsOneLineAndExitCode1(string message, params string[] arguments)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the messages are those of a Unix system");

        CliResult result = await Cli.RunAsync(["healthcheck", .. arguments]);

        Assert.Equal((1, string.Empty, message + "\n"), (result.ExitCode, result.Output, result.Errors));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task<WebApplication> StartAsync(string url, string path, int status, string text)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(url);
        WebApplication server = builder.Build();
        server.MapGet(path, (HttpContext context) =>
        {
            context.Response.StatusCode = status;
            return context.Response.WriteAsync(text);
        });
        await server.StartAsync(Cancel);
        return server;
    }
}

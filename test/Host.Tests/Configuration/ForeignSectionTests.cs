using System.Net;
using System.Net.Sockets;
using StreamsHost.Tests.Commands;

namespace StreamsHost.Tests.Configuration;

/// <summary>Sections and variables that ASP.NET Core reads elsewhere, and that have no effect on this host.</summary>
public sealed class ForeignSectionTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-foreign-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Run_ForeignSections_HaveNoEffectOnTheHttpSide()
    {
        int port = FreePort();
        int other = FreePort();
        await using HostProcess host = HostProcess.StartAlone("--config", await WriteAsync(port, other), "--Admin:Url=http://127.0.0.1:0");
        await host.WaitUntilUpAsync(1);

        using var http = new HttpClient();
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri($"{host.StatusAddresses[0]}/livez"), Cancel)).StatusCode);

        Assert.Equal(
            new[] { host.Port("a"), new Uri(host.StatusAddresses[0]).Port }.Order(),
            host.ListeningPorts().Order());
    }

    [Fact(Timeout = 120000)]
    public async Task Run_ForeignVariables_HaveNoEffectOnTheHttpSide()
    {
        int port = FreePort();
        await using HostProcess host = HostProcess.StartUnder(
            ["/usr/bin/env", "AllowedHosts=status.example", $"Kestrel__Endpoints__x__Url=http://0.0.0.0:{port}", $"URLS=http://0.0.0.0:{port}", "PREFERHOSTINGURLS=true"]);
        await host.WaitUntilUpAsync();

        using var http = new HttpClient();
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri($"{host.StatusAddresses[0]}/livez"), Cancel)).StatusCode);

        Assert.DoesNotContain(port, host.ListeningPorts());
    }

    [Fact(Timeout = 120000)]
    public async Task Check_ForeignSections_NotesEachAndExitsWith0()
    {
        string file = await WriteAsync(7998, 7999);
        CliResult result = await Cli.RunAsync(new CliStart { Folder = _folder }, "check", "--config", file);

        string[] expected =
        [
            "a            tcp://127.0.0.1:0                            handler echo",
            "Note: AllowedHosts is ignored. The host names of the HTTP side are in Admin:AllowedHosts.",
            "Note: Kestrel is ignored. The HTTP side listens on Admin:Url, and endpoints on the URLs in ByteStreams:Endpoints.",
            "Note: PreferHostingUrls is ignored. StreamsHost does not read it.",
            "Note: Serilog is ignored. StreamsHost does not read it.",
            "Note: Urls is ignored. The HTTP side listens on Admin:Url, and endpoints on the URLs in ByteStreams:Endpoints.",
            $"Configuration file: {Path.GetFullPath(file, _folder)}.",
            "1 endpoint is valid. Nothing was bound: whether the addresses are free was not checked.",
            string.Empty,
        ];
        Assert.Equal((0, string.Join(Environment.NewLine, expected), string.Empty), (result.ExitCode, result.Output, result.Errors));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private async Task<string> WriteAsync(int kestrel, int urls)
    {
        string file = Path.Combine(_folder, "foreign.json");
        await File.WriteAllTextAsync(
            file,
            $$"""
            {
              "$schema": "./docs/appsettings.schema.json",
              "AllowedHosts": "status.example",
              "Kestrel": { "Endpoints": { "x": { "Url": "http://0.0.0.0:{{kestrel}}" } } },
              "Urls": "http://0.0.0.0:{{urls}}",
              "PreferHostingUrls": "true",
              "Serilog": { "MinimumLevel": "Debug" },
              "ByteStreams": { "Endpoints": { "a": { "Url": "tcp://127.0.0.1:0", "Handler": "echo" } } }
            }
            """,
            Cancel);
        return file;
    }
}

using System.Globalization;
using System.Text.Json;
using ByteStreams;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using StreamsHost.Configuration;
using StreamsHost.Hosting;

namespace StreamsHost.Tests;

/// <summary>A host with many endpoints.</summary>
public sealed class HostProcessEndpointsTests
{
    private const int Endpoints = 500;
    private const int MostThreads = 40;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 240000)]
    [Trait("Fault", "F80")]
    public async Task Run_500Endpoints_ServesThemWithin40Threads_F80()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the threads are counted in /proc");
        string file = Path.Combine(Directory.CreateTempSubdirectory("streamshost-").FullName, "appsettings.json");
        var endpoints = Enumerable.Range(0, Endpoints).ToDictionary(
            i => string.Create(CultureInfo.InvariantCulture, $"e{i}"), _ => new { Url = "tcp://127.0.0.1:0", Handler = "echo" });
        await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new { ByteStreams = new { Endpoints = endpoints } }), Cancel);
        await using HostProcess host = HostProcess.StartAlone("--config", file, "--Admin:Url=http://127.0.0.1:0");
        await host.WaitUntilUpAsync(Endpoints);

        await using ByteStreamConnection client = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port($"e{Endpoints - 1}"), cancellationToken: Cancel);
        client.Writer.Write("hello\n");
        Assert.Equal("hello", await client.Reader.ReadTextLineAsync(cancellationToken: Cancel));

        Assert.InRange(host.Threads, 1, MostThreads);
    }

    [Fact]
    public async Task Services_EndpointAnnouncer_IsTheHostsOwnAndNoOther()
    {
        await using WebApplication application = HostApplication.CreateBuilder(new HostArguments(null, [])).Build();

        Assert.IsType<EndpointAnnouncer>(application.Services.GetRequiredService<IEndpointAnnouncer>());
    }
}

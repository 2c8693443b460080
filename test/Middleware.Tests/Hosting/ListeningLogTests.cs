using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>The log of an application says where its endpoints listen, and which configuration section gave it none.</summary>
public sealed class ListeningLogTests
{
    private const int Added = 801;
    private const int Changed = 803;
    private const int Listening = 820;
    private const int SectionMissing = 821;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Start_PortThatTheSystemChooses_IsLogged()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync();

        FakeLogRecord line = Assert.Single(Lines(running.Log, Listening));
        Assert.Equal(LogLevel.Information, line.Level);
        Assert.Equal($"Now listening on: tcp://{running.Servers["quiet"].EndPoints[0]} (endpoint \"quiet\").", line.Message);
    }

    [Fact(Timeout = 120000)]
    public async Task Reload_EndpointAddedOrMoved_IsLoggedAndNoOther()
    {
        await using ReloadedHost running = await ReloadedHost.StartAsync();

        running.Change(("a", "Url", "tcp://127.0.0.1:0"), ("a", "Handler", "echo"));
        await running.WaitForAsync(Added);
        await running.WaitForAsync(Listening, 2);
        string added = running.Last(Listening);
        string before = running.Servers["a"].EndPoints[0].ToString()!;
        running.Change(("a", "Handler", "shout"));
        await running.WaitForAsync(Changed);
        running.Change(("a", "Url", $"unix:@{Guid.NewGuid():N}"));
        await running.WaitForAsync(Listening, 3);

        Assert.Equal($"Now listening on: tcp://{before} (endpoint \"a\").", added);
        Assert.Equal($"Now listening on: unix:{running.Servers["a"].EndPoints[0].ToString()!.Replace('\0', '@')} (endpoint \"a\").", running.Last(Listening));
        Assert.Equal(3, Lines(running.Log, Listening).Length);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_MisspeltSection_WarnsAndNamesTheSectionsWithEndpoints()
    {
        var source = new MutableSource();
        source.Change([
            ("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1:0"), ("ByteStreams:Endpoints:a:Handler", "echo"),
            ("Kestrel:Endpoints:http:Url", "http://127.0.0.1:0")]);
        FakeLogRecord line = Assert.Single(Lines(await StartAsync(source, "ByteStream", _ => Task.CompletedTask), SectionMissing));

        Assert.Equal(LogLevel.Warning, line.Level);
        Assert.Equal(
            "The configuration section 'ByteStream' does not exist or is empty; no endpoint is loaded from it. "
            + "Check the name; sections with endpoints are: 'ByteStreams'.",
            line.Message);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_SectionThatComesWithAReload_WarnsAndServesItThen()
    {
        var source = new MutableSource();
        EndPoint[] served = [];
        FakeLogCollector log = await StartAsync(source, "ByteStreams", async host =>
        {
            source.Change([("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1:0"), ("ByteStreams:Endpoints:a:Handler", "echo")]);
            ByteStreamServers servers = host.Services.GetRequiredService<ByteStreamServers>();
            await Patience.UntilAsync(() => servers.TryGet("a", out _));

            served = [.. servers["a"].EndPoints];
        });

        Assert.Single(served);
        Assert.EndsWith("A section that a later reload adds is loaded then.", Assert.Single(Lines(log, SectionMissing)).Message, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Start_SectionWithoutEndpoints_DoesNotWarn()
    {
        var source = new MutableSource();
        source.Change([("ByteStreams:MaxConnections", "7")]);

        Assert.Empty(Lines(await StartAsync(source, "ByteStreams", _ => Task.CompletedTask), SectionMissing));
    }

    private static FakeLogRecord[] Lines(FakeLogCollector log, int id) => [.. log.GetSnapshot().Where(record => record.Id.Id == id)];

    private static async Task<FakeLogCollector> StartAsync(MutableSource source, string section, Func<IHost, Task> use)
    {
        var log = new FakeLogCollector();
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.SetMinimumLevel(LogLevel.Information).AddProvider(new FakeLoggerProvider(log));
        builder.Configuration.Sources.Add(source);
        builder.Services.AddByteStreams()
            .AddHandler("echo", (_, _) => Task.CompletedTask)
            .LoadFromConfig(builder.Configuration.GetSection(section));
        using IHost host = builder.Build();
        await host.StartAsync(Cancel);
        await use(host);
        await host.StopAsync(Cancel);
        return log;
    }
}

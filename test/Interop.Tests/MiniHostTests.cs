using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ByteStreams.Interop.Tests;

/// <summary>A host of one's own, as StreamsHost is one, with nothing but the library's public API: this project sees no internals.</summary>
public sealed class MiniHostTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Validate_ConfigurationWithErrors_NamesKeyCauseAndRemedyAndBindsNothing()
    {
        using IHost host = Build(
            ("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1"),
            ("ByteStreams:Endpoints:a:Handler", "echo"),
            ("ByteStreams:Endpoints:b:Url", "tcp://127.0.0.1:0"),
            ("ByteStreams:Endpoints:b:Handler", "echo"),
            ("ByteStreams:Endpoints:b:KeepAliveCount", "128"));

        EndpointValidationResult result = await host.Services.GetRequiredService<EndpointValidator>().ValidateAsync(Cancel);

        Assert.False(result.IsValid);
        Assert.Equal(
            [
                new ConfigurationFinding("ByteStreams:Endpoints:a:Url", "'tcp://127.0.0.1' has no port. Write tcp://host:port; port 0 takes a free one."),
                new ConfigurationFinding("ByteStreams:Endpoints:b:KeepAliveCount", "'128' is not valid. It takes a whole number from 1 to 127."),
            ],
            result.Errors.OrderBy(error => error.Key, StringComparer.Ordinal));
        Assert.Empty(host.Services.GetRequiredService<ByteStreamServers>().Names);
    }

    [Fact]
    public async Task Validate_AddressInUse_IsValidBecauseNothingIsBound()
    {
        using var taken = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        taken.Listen();
        using IHost host = Build(("ByteStreams:Endpoints:a:Url", $"tcp://{taken.LocalEndPoint}"), ("ByteStreams:Endpoints:a:Handler", "echo"));

        EndpointValidationResult result = await host.Services.GetRequiredService<EndpointValidator>().ValidateAsync(Cancel);

        Assert.Equal([new EndpointDescription("a", $"tcp://{taken.LocalEndPoint}", "echo")], result.Endpoints.Select(endpoint => endpoint with { Certificates = [] }), SameEndpoint);
        Assert.True(result.IsValid);
        Assert.Empty(result.Warnings);
    }

    [Fact]
    public void GetEffectiveValues_OfEachSource_HaveTheirProvider()
    {
        IConfigurationRoot configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(Settings(
                ("ByteStreams:Defaults:Limit", "4096"),
                ("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1:0"),
                ("ByteStreams:Endpoints:a:Tls:Certificates:0:Password", "sesame")))
            .AddInMemoryCollection(Settings(("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1:7")))
            .Build();
        IConfigurationProvider[] providers = [.. configuration.Providers];

        IReadOnlyList<EffectiveValue> configured = ByteStreamConfiguration.GetEffectiveValues(configuration, "ByteStreams");
        IReadOnlyList<EffectiveValue> all = ByteStreamConfiguration.GetEffectiveValues(configuration, "ByteStreams", includeDefaults: true);

        Assert.Equal(
            [
                new EffectiveValue("ByteStreams:Defaults:Limit", "4096", providers[0]),
                new EffectiveValue("ByteStreams:Endpoints:a:Tls:Certificates:0:Password", "sesame", providers[0]),
                new EffectiveValue("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1:7", providers[1]),
            ],
            configured);
        Assert.True(configured[1].IsSecret);
        Assert.Contains(new EffectiveValue("ByteStreams:Endpoints:a:Limit", "4096", providers[0]) { InheritedFrom = "ByteStreams:Defaults:Limit" }, all);
        Assert.Contains(new EffectiveValue("ByteStreams:Endpoints:a:Backlog", "512", null), all);
    }

    [Fact]
    public void JsonSchema_OfTheLibrary_HasItsSectionOnly()
    {
        using JsonDocument schema = JsonDocument.Parse(ByteStreamConfiguration.JsonSchema);

        Assert.Equal(["$schema", "ByteStreams"], schema.RootElement.GetProperty("properties").EnumerateObject().Select(property => property.Name));
    }

    [Fact]
    public async Task Run_OwnAnnouncerReloadAndState_AreThoseOfTheHost()
    {
        var announcer = new Announcer();
        var states = new ConcurrentQueue<ByteStreamsState>();
        using IHost host = Build(announcer, ("ByteStreams:Endpoints:a:Url", "tcp://127.0.0.1:0"), ("ByteStreams:Endpoints:a:Handler", "echo"));
        ByteStreamServers servers = host.Services.GetRequiredService<ByteStreamServers>();
        servers.StateChanged += states.Enqueue;
        IConfigurationRoot configuration = (IConfigurationRoot)host.Services.GetRequiredService<IConfiguration>();

        await host.StartAsync(Cancel);

        string url = Assert.Single(announcer.Urls);
        Assert.True(EndpointUrl.TryParseTarget(url, out EndpointUrl? target, out string? error), error);
        ReloadReport added = await servers.ReloadAsync(() => configuration["ByteStreams:Endpoints:a:Limit"] = "100", Cancel);
        ReloadReport rejected = await servers.ReloadAsync(() => configuration["ByteStreams:Endpoints:a:Limit"] = "0", Cancel);
        await Assert.ThrowsAsync<OperationCanceledException>(() => servers.ReloadAsync(() => Assert.Fail("It read."), new CancellationToken(canceled: true)));
        ByteStreamMonitor monitor = host.Services.GetRequiredService<ByteStreamMonitor>();

        Assert.Equal((0, 0, 1, 0), (added.Added, added.Removed, added.Changed, added.Errors.Count));
        Assert.Equal(["ByteStreams:Endpoints:a:Limit: '0' is not valid. It takes a whole number, at least 1."], rejected.Errors);
        Assert.Equal((1, false), (monitor.EndpointCount, monitor.LastReload!.IsSuccess));
        await using (ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(target!.Host!, target.Port, cancellationToken: Cancel))
        {
            connection.Writer.Write("hello\n");
            Assert.Equal("hello", await connection.Reader.ReadTextLineAsync(cancellationToken: Cancel));
        }

        await host.StopAsync(Cancel);

        Assert.Equal([ByteStreamsState.Serving, ByteStreamsState.Draining, ByteStreamsState.Drained], states);
    }

    [Fact]
    public void Formats_OfConfiguration_AreReadAndWritten()
    {
        Assert.True(ByteStreamConfiguration.TryParseDuration("1.5h", out TimeSpan time));
        Assert.Equal("90m", ByteStreamConfiguration.FormatDuration(time));
        Assert.Equal("Limit", ByteStreamConfiguration.FindNearest("Lmit", ["Url", "Limit"]));
        Assert.Equal(@"a\u{A}b", LogText.Escape("a\nb"));
        Assert.Equal("closed_by_peer", CloseReasonText.GetText(ConnectionCloseReason.ClosedByPeer));
    }

    private static IHost Build(params (string Key, string Value)[] settings) => Build(new Announcer(), settings);

    private static IHost Build(Announcer announcer, params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection(Settings(settings));
        builder.Services.AddSingleton<IEndpointAnnouncer>(announcer);
        builder.Services.AddByteStreams()
            .AddHandler("echo", async (reader, writer, stopping) =>
            {
                writer.Write(await reader.ReadLineAsync(stopping));
            })
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        return builder.Build();
    }

    private static IEnumerable<KeyValuePair<string, string?>> Settings(params (string Key, string Value)[] settings) =>
        settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value));

    private static bool SameEndpoint(EndpointDescription left, EndpointDescription right) => left with { Certificates = right.Certificates } == right;

    private sealed class Announcer : IEndpointAnnouncer
    {
        public ConcurrentQueue<string> Urls { get; } = new();

        public void Announce(EndpointDescription endpoint, IReadOnlyList<EndPoint> addresses)
        {
            foreach (EndPoint address in addresses)
            {
                Urls.Enqueue(EndpointUrl.Format(address, endpoint.IsTls));
            }
        }
    }
}

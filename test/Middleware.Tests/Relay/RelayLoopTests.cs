using System.Net;
using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>F75: a relay whose upstream leads back to itself.</summary>
public sealed class RelayLoopTests : ServedTest
{
    private readonly FakeLogCollector _log = new();
    private readonly Dictionary<ByteStreamServer, ByteStreamRelay> _relays = [];

    [Theory]
    [InlineData("tcp://127.0.0.1:7000", "tcp://127.0.0.1:7000")]
    [InlineData("tcp://*:7000", "tcp://127.0.0.1:7000")]
    [InlineData("tcp://*:7000", "tcp://[::1]:7000")]
    [InlineData("tcp://0.0.0.0:7000", "tcp://0.0.0.0:7000")]
    [InlineData("tcp://127.0.0.1:7000", "tcp://[::ffff:127.0.0.1]:7000")]
    [InlineData("tcp://localhost:7000", "tcp://localhost:7000")]
    [InlineData("tcp://127.0.0.1:7000", "tcp://localhost:7000")]
    [InlineData("unix:/tmp/loop/a.sock", "unix:///tmp/loop/a.sock")]
    [InlineData("unix:@loop", "unix:@loop")]
    [Trait("Fault", "F75")]
    public async Task Check_RelayOntoItself_IsAnErrorWithTheKey_F75(string url, string upstream)
    {
        IReadOnlyList<string> errors = await CheckAsync(("a:Url", url), ("a:Handler", "relay"), ("a:Relay:Upstreams:0", "tcp://192.0.2.1:1"), ("a:Relay:Upstreams:1", upstream));

        Assert.StartsWith(
            $"ByteStreams:Endpoints:a:Relay:Upstreams:1: '{upstream}' leads back to the endpoint itself (a -> a): ",
            Assert.Single(errors, error => error.Contains("Relay", StringComparison.Ordinal)),
            StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F75")]
    public async Task Check_ChainOfRelaysComesBack_EachIsAnErrorWithTheWay_F75()
    {
        IReadOnlyList<string> errors = await CheckAsync(
            ("a:Url", "tcp://127.0.0.1:7000"), ("a:Handler", "relay"), ("a:Relay:Upstreams", "tcp://127.0.0.1:7001"),
            ("b:Url", "tcp://127.0.0.1:7001"), ("b:Handler", "relay"), ("b:Relay:Upstreams", "tcp://127.0.0.1:7002"),
            ("c:Url", "tcp://127.0.0.1:7002"), ("c:Handler", "relay"), ("c:Relay:Upstreams", "tcp://127.0.0.1:7001"));

        Assert.Equal(2, errors.Count);
        Assert.Contains("b:Relay:Upstreams:0: 'tcp://127.0.0.1:7002' leads back to the endpoint itself (b -> c -> b)", errors[0], StringComparison.Ordinal);
        Assert.Contains("c:Relay:Upstreams:0: 'tcp://127.0.0.1:7001' leads back to the endpoint itself (c -> b -> c)", errors[1], StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Fault", "F75")]
    public async Task Check_ChainOfRelaysThatEnds_IsInOrder_F75() =>
        Assert.Empty(await CheckAsync(
            ("a:Url", "tcp://127.0.0.1:7000"), ("a:Handler", "relay"), ("a:Relay:Upstreams:0", "tcp://127.0.0.1:7001"), ("a:Relay:Upstreams:1", "tcp://192.0.2.1:7000"),
            ("b:Url", "tcp://127.0.0.1:7001"), ("b:Handler", "relay"), ("b:Relay:Upstreams", "tcp://127.0.0.1:7002"),
            ("c:Url", "tcp://127.0.0.1:7002"), ("c:Handler", "echo")));

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [Trait("Fault", "F75")]
    public async Task Relay_UpstreamLeadsBack_IsRefusedWithTheReason_F75(int length)
    {
        ByteStreamServer[] servers = [.. await Task.WhenAll(Enumerable.Range(0, length).Select(_ => ReserveAsync()))];
        for (int i = 0; i < length; i++)
        {
            Serve(servers[i], servers[(i + 1) % length].EndPoints[0]);
        }

        await AssertRefusedAsync(servers[0].EndPoints[0]);

        Assert.Contains(
            _log.GetSnapshot(),
            record => record.Id.Id == 656 && record.Message.Contains("leads back to this relay", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Relay_UpstreamIsAnotherRelay_Serves()
    {
        ByteStreamServer last = await ByteStream.StartServerAsync(Echo, "127.0.0.1", 0, cancellationToken: Soon);
        Own((IAsyncDisposable)last);
        ByteStreamServer second = await ReserveAsync();
        Serve(second, last.EndPoints[0]);
        ByteStreamServer first = await ReserveAsync();
        Serve(first, second.EndPoints[0]);

        Assert.Equal("hello\n", await AskAsync(await ConnectAsync(first.EndPoints[0]), "hello\n"));
    }

    /// <summary>A server of a relay that is not known yet, because its upstream is not.</summary>
    private async Task<ByteStreamServer> ReserveAsync()
    {
        ByteStreamServer? server = null;
        server = await ByteStream.StartServerAsync((reader, writer, stopping) => _relays[server!].ServeAsync(reader, writer, stopping), "127.0.0.1", 0, cancellationToken: Soon);
        Own((IAsyncDisposable)server);
        return server;
    }

    private void Serve(ByteStreamServer server, EndPoint upstream)
    {
        var options = new RelayOptions();
        options.Upstreams.Add($"tcp://{upstream}");
        _relays[server] = Own(new ByteStreamRelay(
            options, LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(_log)))));
    }

    private async Task<IReadOnlyList<string>> CheckAsync(params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(
            settings.Select(setting => new KeyValuePair<string, string?>($"ByteStreams:Endpoints:{setting.Key}", setting.Value)));
        builder.Services.AddByteStreams().AddHandler("echo", Echo).LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        using IHost host = builder.Build();
        var errors = new List<string>();
        await EndpointCheck.RunAsync(host.Services, errors, Soon);
        return errors;
    }
}

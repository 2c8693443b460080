using ByteStreams.Configuration;
using ByteStreams.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ByteStreams.Middleware.Tests.Configuration;

public class EndpointRegistryTests
{
    private static readonly IServiceProvider Services = new ServiceCollection().BuildServiceProvider();

    [Fact]
    public void Plan_EveryKey_ReachesItsOption()
    {
        EndpointDefinition plan = Assert.Single(Plan(new()
        {
            ["Endpoints:a:Url"] = "tcp://127.0.0.1:0",
            ["Endpoints:a:Handler"] = "ECHO",
            ["Endpoints:a:Limit"] = "1000",
            ["Endpoints:a:Backlog"] = "7",
            ["Endpoints:a:ReusePort"] = "true",
            ["Endpoints:a:IPv6Only"] = "true",
            ["Endpoints:a:NoDelay"] = "false",
            ["Endpoints:a:KeepAlive"] = "true",
            ["Endpoints:a:KeepAliveTime"] = "00:01:00",
            ["Endpoints:a:KeepAliveInterval"] = "00:00:05",
            ["Endpoints:a:KeepAliveCount"] = "3",
            ["Endpoints:a:ReceiveBufferSize"] = "8192",
            ["Endpoints:a:SendBufferSize"] = "16384",
            ["Endpoints:a:WriteBufferHighWater"] = "100",
            ["Endpoints:a:WriteBufferLowWater"] = "10",
            ["Endpoints:a:MaxReceiveBlock"] = "4096",
            ["Endpoints:a:LingerTimeout"] = "00:00:00.5",
            ["Endpoints:a:LingerBytes"] = "0",
            ["Endpoints:a:UnixSocketMode"] = "0660",
            ["Endpoints:a:UnixSocketGroup"] = "daemon",
        }));

        ByteStreamServerOptions options = plan.Options;
        Assert.Equal("a", plan.Name);
        Assert.Equal("a", options.Name);
        Assert.Equal((1000, 7), (options.Limit, options.Backlog));
        Assert.Equal((true, true, false, true), (options.ReusePort, options.IPv6Only, options.NoDelay, options.KeepAlive));
        Assert.Equal((TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(5), 3), (options.KeepAliveTime, options.KeepAliveInterval, options.KeepAliveCount));
        Assert.Equal((8192, 16384), (options.ReceiveBufferSize, options.SendBufferSize));
        Assert.Equal((100, 10, 4096), (options.WriteBufferHighWater, options.WriteBufferLowWater, options.MaxReceiveBlock));
        Assert.Equal((TimeSpan.FromSeconds(0.5), 0L), (options.LingerTimeout, options.LingerBytes));
        Assert.Equal("daemon", options.UnixSocketGroup);
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite, options.UnixSocketMode);
    }

    [Fact]
    public void Plan_EmptyName_IsAnError()
    {
        var errors = Assert.Throws<EndpointConfigurationException>(() => Plan(new() { ["Endpoints::Url"] = "tcp://127.0.0.1:0", ["Endpoints::Handler"] = "echo" }));

        Assert.Equal(["Endpoints:: the endpoint has an empty name. Give it a name for logs and metrics, such as echo."], errors.Errors);
    }

    [Fact]
    public void Plan_ManyErrors_ReportsAllAtOnceWithTheirKeys()
    {
        var errors = Assert.Throws<EndpointConfigurationException>(() => Plan(new()
        {
            ["Endpoints:a:Url"] = "tcp://x",
            ["Endpoints:a:Handler"] = "ecko",
            ["Endpoints:a:Limti"] = "5",
            ["Endpoints:a:Backlog"] = "zero",
            ["Endpoints:a:LingerTimeout"] = "-00:00:01",
            ["Endpoints:a:UnixSocketMode"] = "0999",
            ["Endpoints:b:Url"] = "unix:/tmp/b.sock",
            ["Endpoint:c:Url"] = "tcp://x:1",
        }));

        Assert.Equal(
            [
                "Endpoint: there is no such key. Did you mean 'Endpoints'?",
                "Endpoints:a:Backlog: 'zero' is not valid. It takes a whole number, at least 1.",
                "Endpoints:a:Limti: there is no such key. Did you mean 'Limit'?",
                "Endpoints:a:LingerTimeout: '-00:00:01' is not valid. It takes a time such as 30s or 00:00:30, zero or more, at most 24d.",
                "Endpoints:a:UnixSocketMode: '0999' is not valid. It takes an octal file mode such as 0660.",
                "Endpoints:a:Url: 'tcp://x' has no port. Write tcp://host:port; port 0 takes a free one.",
                "Endpoints:a:Handler: there is no handler 'ecko'. Handlers are: discard, echo, relay.",
                "Endpoints:b:Handler: is missing. Handlers are: discard, echo, relay.",
            ],
            errors.Errors);
        Assert.Equal(string.Join(Environment.NewLine, errors.Errors), errors.Message);
    }

    [Fact]
    public void Plan_OptionsThatContradictEachOther_NamesTheEndpoint()
    {
        var errors = Assert.Throws<EndpointConfigurationException>(() => Plan(new()
        {
            ["Endpoints:a:Url"] = "tcp://127.0.0.1:0",
            ["Endpoints:a:Handler"] = "echo",
            ["Endpoints:a:WriteBufferHighWater"] = "10",
            ["Endpoints:a:WriteBufferLowWater"] = "11",
        }));

        Assert.StartsWith("Endpoints:a: WriteBufferLowWater (11) is above WriteBufferHighWater (10)", Assert.Single(errors.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public void Plan_SameNameInCodeAndInConfiguration_IsRefused()
    {
        EndpointRegistry registry = Registry();
        registry.Add(new EndpointRegistration("A", "tcp://127.0.0.1:0", "echo", null, null, "AddEndpoint(\"A\")", []));

        var errors = Assert.Throws<EndpointConfigurationException>(() => Plan(
            new() { ["Endpoints:a:Url"] = "tcp://127.0.0.1:0", ["Endpoints:a:Handler"] = "echo" }, registry));

        Assert.Equal("AddEndpoint(\"A\"): there are 2 endpoints with this name. Give each endpoint its own name.", Assert.Single(errors.Errors));
    }

    [Fact]
    public void Plan_ConfigureUnknownEndpoint_IsRefused()
    {
        EndpointRegistry registry = Registry();
        registry.Configure("b", _ => { });

        var errors = Assert.Throws<EndpointConfigurationException>(() => Plan(
            new() { ["Endpoints:a:Url"] = "tcp://127.0.0.1:0", ["Endpoints:a:Handler"] = "echo" }, registry));

        Assert.Equal("ConfigureEndpoint(\"b\"): there is no endpoint with this name. Endpoints are: a.", Assert.Single(errors.Errors));
    }

    [Fact]
    public void Plan_ConfigureEndpoint_ComesAfterTheSettings()
    {
        EndpointRegistry registry = Registry();
        registry.Configure("A", options => options.Limit *= 2);

        EndpointDefinition plan = Assert.Single(Plan(
            new() { ["Endpoints:a:Url"] = "tcp://127.0.0.1:0", ["Endpoints:a:Handler"] = "echo", ["Endpoints:a:Limit"] = "21" }, registry));

        Assert.Equal(42, plan.Options.Limit);
    }

    [Fact]
    public void Add_HandlerOfATakenName_IsRefused()
    {
        EndpointRegistry registry = Registry();

        Assert.Throws<ArgumentException>(() => registry.Add("Echo", _ => (_, _, _) => Task.CompletedTask));
    }

    private static EndpointRegistry Registry()
    {
        var registry = new EndpointRegistry();
        registry.Add("echo", _ => (_, _, _) => Task.CompletedTask);
        registry.Add("discard", _ => (_, _, _) => Task.CompletedTask);
        return registry;
    }

    private static IReadOnlyList<EndpointDefinition> Plan(Dictionary<string, string?> settings, EndpointRegistry? registry = null)
    {
        registry ??= Registry();
        registry.Add(new ConfigurationBuilder().AddInMemoryCollection(settings).Build());
        var errors = new List<string>();
        IReadOnlyList<EndpointDefinition> plans = registry.Define(Services, NullLoggerFactory.Instance, [], errors);
        return errors.Count == 0 ? plans : throw new EndpointConfigurationException(errors);
    }
}

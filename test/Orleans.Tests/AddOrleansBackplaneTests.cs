using System.Net;
using ByteStreams.Groups;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ByteStreams.Cluster.Tests;

/// <summary>The registration of the backplane, and the section ByteStreams:Cluster.</summary>
public sealed class AddOrleansBackplaneTests
{
    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Fact(Timeout = 60000)]
    public async Task Start_WithoutUseOrleans_ThrowsWithTheRemedy()
    {
        HostApplicationBuilder builder = Create();
        builder.Services.AddByteStreams().AddOrleansBackplane();
        using IHost host = builder.Build();

        InvalidOperationException missing = await Assert.ThrowsAsync<InvalidOperationException>(() => host.StartAsync(Test));

        Assert.Equal("AddOrleansBackplane requires an Orleans silo in this application. Call UseOrleans on the host builder.", missing.Message);
    }

    [Theory(Timeout = 60000)]
    [InlineData("LinkRetry", "9ms", "ByteStreams:Cluster:LinkRetry: '9ms' is not valid. It takes a time such as 30s or 00:00:30, at least 10ms, at most 1h.")]
    [InlineData("LinkTimeout", "99ms", "ByteStreams:Cluster:LinkTimeout: '99ms' is not valid. It takes a time such as 30s or 00:00:30, at least 100ms, at most 1h.")]
    [InlineData("LinkTimeout", "2h", "ByteStreams:Cluster:LinkTimeout: '2h' is not valid. It takes a time such as 30s or 00:00:30, at least 100ms, at most 1h.")]
    [InlineData("LinkQueue", "65535", "ByteStreams:Cluster:LinkQueue: '65535' is not valid. It takes a whole number from 65536 to 67108864.")]
    [InlineData("LinkQueue", "67108865", "ByteStreams:Cluster:LinkQueue: '67108865' is not valid. It takes a whole number from 65536 to 67108864.")]
    [InlineData("LinkQueue", "4MiB", "ByteStreams:Cluster:LinkQueue: '4MiB' is not valid. It takes a whole number from 65536 to 67108864.")]
    [InlineData("JoinTimeout", "0s", "ByteStreams:Cluster:JoinTimeout: '0s' is not valid. It takes a time such as 30s or 00:00:30, at least 1ms, at most 1h.")]
    [InlineData("ClusterMaxConnections", "-1", "ByteStreams:Cluster:ClusterMaxConnections: '-1' is not valid. It takes a whole number, at least 0.")]
    [InlineData("OnEvicted", "restart", "ByteStreams:Cluster:OnEvicted: 'restart' is not valid. It takes one of Drain, Exit.")]
    [InlineData("OnEvicted", "1", "ByteStreams:Cluster:OnEvicted: '1' is not valid. It takes one of Drain, Exit.")]
    [InlineData("LinkTimeOuts", "1s", "ByteStreams:Cluster:LinkTimeOuts: there is no such key. Did you mean 'LinkTimeout'?")]
    [InlineData(
        "Seed",
        "1",
        "ByteStreams:Cluster:Seed: there is no such key. Known are LinkRetry, LinkTimeout, LinkQueue, JoinTimeout, OnEvicted, ClusterMaxConnections.")]
    [InlineData("LinkRetry", "6s", "ByteStreams:Cluster:LinkRetry: 00:00:06 is longer than LinkTimeout, 00:00:05. Set a shorter time.")]
    [InlineData("", "on", "ByteStreams:Cluster: 'on' is not valid. It takes a section of keys, not one value.")]
    public async Task Start_KeyIsInvalid_ThrowsWithKeyCauseAndRemedy(string key, string value, string error)
    {
        HostApplicationBuilder builder = Create((key.Length == 0 ? "ByteStreams:Cluster" : $"ByteStreams:Cluster:{key}", value));
        AddFakeSilo(builder).AddOrleansBackplane();
        using IHost host = builder.Build();

        EndpointConfigurationException invalid = await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Test));

        Assert.Equal([error], invalid.Errors);
    }

    [Fact]
    public void Options_SeveralKeysAreInvalid_HaveALineForEach()
    {
        using IHost host = Build(
            options => options.LinkQueue = 1,
            ("ByteStreams:Cluster:LinkTimeout", "soon"),
            ("ByteStreams:Cluster:OnEvicted", "never"));

        EndpointConfigurationException invalid = Assert.Throws<EndpointConfigurationException>(host.Services.GetRequiredService<ByteStreamClusterOptions>);

        Assert.Equal(
            [
                "ByteStreams:Cluster:LinkTimeout: 'soon' is not valid. It takes a time such as 30s or 00:00:30, at least 100ms, at most 1h.",
                "ByteStreams:Cluster:OnEvicted: 'never' is not valid. It takes one of Drain, Exit.",
                "ByteStreams:Cluster:LinkQueue: '1' is not valid. It takes a whole number from 65536 to 67108864.",
            ],
            invalid.Errors);
    }

    [Fact]
    public void Options_ArgumentIsInvalid_NamesKeyCauseAndRemedy()
    {
        using IHost host = Build(options => (options.LinkRetry, options.OnEvicted) = (TimeSpan.Zero, (EvictionAction)7));

        EndpointConfigurationException invalid = Assert.Throws<EndpointConfigurationException>(host.Services.GetRequiredService<ByteStreamClusterOptions>);

        Assert.Equal(
            [
                "ByteStreams:Cluster:LinkRetry: '00:00:00' is not valid. It takes a time such as 30s or 00:00:30, at least 10ms, at most 1h.",
                "ByteStreams:Cluster:OnEvicted: 7 is unknown. Set Drain or Exit.",
            ],
            invalid.Errors);
    }

    [Fact]
    public void Options_EachKeyIsSet_AreRead()
    {
        using IHost host = Build(
            null,
            ("ByteStreams:Cluster:LinkRetry", "100ms"),
            ("ByteStreams:Cluster:LinkTimeout", "2s"),
            ("ByteStreams:Cluster:LinkQueue", "65536"),
            ("ByteStreams:Cluster:JoinTimeout", "3s"),
            ("ByteStreams:Cluster:OnEvicted", "exit"),
            ("ByteStreams:Cluster:ClusterMaxConnections", "90"));

        ByteStreamClusterOptions options = host.Services.GetRequiredService<ByteStreamClusterOptions>();

        Assert.Equal(
            (TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2), 65536, TimeSpan.FromSeconds(3), EvictionAction.Exit, 90),
            (options.LinkRetry, options.LinkTimeout, options.LinkQueue, options.JoinTimeout, options.OnEvicted, options.ClusterMaxConnections));
    }

    [Fact]
    public void Options_ArgumentAndSection_ArgumentOverrides()
    {
        using IHost host = Build(
            options => options.LinkTimeout = TimeSpan.FromSeconds(4),
            ("ByteStreams:Cluster:LinkTimeout", "2s"),
            ("ByteStreams:Cluster:JoinTimeout", "3s"));

        ByteStreamClusterOptions options = host.Services.GetRequiredService<ByteStreamClusterOptions>();

        Assert.Equal((TimeSpan.FromSeconds(4), TimeSpan.FromSeconds(3)), (options.LinkTimeout, options.JoinTimeout));
    }

    [Fact]
    public void AddOrleansBackplane_CalledTwice_RegistersOnceAndAppliesBothArguments()
    {
        HostApplicationBuilder once = Create();
        AddFakeSilo(once).AddOrleansBackplane(options => options.LinkQueue = 70000);
        HostApplicationBuilder twice = Create();
        AddFakeSilo(twice)
            .AddOrleansBackplane(options => (options.LinkQueue, options.LinkTimeout) = (70000, TimeSpan.FromSeconds(2)))
            .AddOrleansBackplane(options => options.LinkQueue = 80000);

        // The second argument is the only additional registration.
        Assert.Equal(once.Services.Count + 1, twice.Services.Count);
        using IHost host = twice.Build();
        ByteStreamClusterOptions options = host.Services.GetRequiredService<ByteStreamClusterOptions>();
        Assert.Equal((80000, TimeSpan.FromSeconds(2)), (options.LinkQueue, options.LinkTimeout));
        Assert.Single(host.Services.GetServices<ByteStreamBackplane>());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AddOrleansBackplane_BeforeOrAfterUseOrleans_EvictionHandlerIsTheFatalErrorHandler(bool isOrleansFirst)
    {
        HostApplicationBuilder builder = Create();
        if (isOrleansFirst)
        {
            builder.UseOrleans(silo => silo.UseLocalhostClustering());
            builder.Services.AddByteStreams().AddOrleansBackplane();
        }
        else
        {
            builder.Services.AddByteStreams().AddOrleansBackplane();
            builder.UseOrleans(silo => silo.UseLocalhostClustering());
        }

        using IHost host = builder.Build();

        Assert.IsType<EvictionHandler>(Assert.Single(host.Services.GetServices<IFatalErrorHandler>()));
        Assert.Single(host.Services.GetServices<ILifecycleParticipant<ISiloLifecycle>>().OfType<MembershipWatch>());
        Assert.Same(host.Services.GetRequiredService<ClusterBackplane>(), host.Services.GetRequiredService<ByteStreamBackplane>());
    }

    [Fact(Timeout = 60000)]
    public async Task Start_ClusterSectionInAnotherParent_NamesTheSectionThatApplies()
    {
        HostApplicationBuilder builder = Create(
            ("Streams:Endpoints:groups:Url", "tcp://127.0.0.1:0"),
            ("Streams:Endpoints:groups:Handler", "none"),
            ("Streams:Cluster:LinkTimeout", "2s"));
        AddFakeSilo(builder)
            .AddHandler("none", (_, _) => Task.CompletedTask)
            .LoadFromConfig(builder.Configuration.GetSection("Streams"))
            .AddOrleansBackplane();
        using IHost host = builder.Build();

        EndpointConfigurationException invalid = await Assert.ThrowsAsync<EndpointConfigurationException>(() => host.StartAsync(Test));

        Assert.Equal(["Streams:Cluster: has no effect. The cluster is configured by the section ByteStreams:Cluster."], invalid.Errors);
    }

    private static HostApplicationBuilder Create(params (string Key, string Value)[] settings)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value)));
        return builder;
    }

    private static IHost Build(Action<ByteStreamClusterOptions>? configure, params (string Key, string Value)[] settings)
    {
        HostApplicationBuilder builder = Create(settings);
        AddFakeSilo(builder).AddOrleansBackplane(configure);
        return builder.Build();
    }

    /// <summary>Adds an address of a silo in place of UseOrleans, so that a start binds no silo port.</summary>
    private static ByteStreamsBuilder AddFakeSilo(HostApplicationBuilder builder)
    {
        builder.Services.AddSingleton<ILocalSiloDetails>(new FakeSilo(SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11111), 1)));
        return builder.Services.AddByteStreams();
    }
}

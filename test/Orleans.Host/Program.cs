using System.Globalization;
using System.Net;
using ByteStreams.Cluster.Host;
using Orleans.Configuration;

// One host of a cluster, for the tests of test/Orleans.Tests. Arguments, and what they may be:
//   --port N             byte-stream endpoint on 127.0.0.1; its protocol is that of GroupsHandler
//   --http N             HTTP: /readyz, and the counters as text on /metrics
//   --silo N             Orleans between the hosts; below 32768, because the system hands out ports from there
//   --redis HOST:PORT    membership store
//   --cluster NAME       cluster id
//   --first NAME         what is registered first: bytestreams or orleans
//   --ByteStreams:KEY=V  any key of the configuration
// The program exits at the end of its standard input, so that no host outlives a test that is killed.
WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Logging.ClearProviders().AddSimpleConsole(console => console.SingleLine = true);
builder.Logging.AddFilter("Orleans", LogLevel.Warning).AddFilter("Microsoft", LogLevel.Warning);
builder.WebHost.UseUrls($"http://127.0.0.1:{Argument("http")}");
if (Argument("first") == "orleans")
{
    AddOrleans();
    AddByteStreams();
}
else
{
    AddByteStreams();
    AddOrleans();
}

using var counters = new Counters();
WebApplication app = builder.Build();
app.MapHealthChecks("/readyz");
app.MapGet("/metrics", () => counters.ToString());
_ = Task.Run(() =>
{
    while (Console.In.Read() >= 0)
    {
    }

    Environment.Exit(1);
});
await app.RunAsync();
return Environment.ExitCode;

string Argument(string name) => builder.Configuration[name] ?? throw new ArgumentException($"The argument --{name} is missing.");

void AddByteStreams()
{
    builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
    {
        ["ByteStreams:Endpoints:groups:Url"] = $"tcp://127.0.0.1:{Argument("port")}",
        ["ByteStreams:Endpoints:groups:Handler"] = "groups",
    });
    builder.Services.AddByteStreams()
        .AddHandler<GroupsHandler>("groups")
        .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"))
        .AddOrleansBackplane();
    builder.Services.AddHealthChecks().AddByteStreams();
}

void AddOrleans() => builder.Host.UseOrleans(silo => silo
    .UseRedisClustering(Argument("redis"))
    .ConfigureEndpoints(IPAddress.Loopback, int.Parse(Argument("silo"), CultureInfo.InvariantCulture), gatewayPort: 0)
    .Configure<ClusterOptions>(cluster => cluster.ServiceId = cluster.ClusterId = Argument("cluster"))
    // A host that hangs or was killed is evicted after 12 to 13 s; with the default of 5 s, after 67 s.
    .Configure<ClusterMembershipOptions>(membership => membership.ProbeTimeout = TimeSpan.FromSeconds(1)));

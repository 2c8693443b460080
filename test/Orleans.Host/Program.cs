using System.Globalization;
using System.Net;
using ByteStreams.Cluster.Host;
using Orleans.Configuration;

// A cluster host for test/Orleans.Tests. Arguments:
//   --port N             byte-stream endpoint on 127.0.0.1, with the protocol of GroupsHandler
//   --http N             HTTP port: /readyz, and /metrics with the counters as text
//   --silo N             silo port; below 32768, the start of the ephemeral port range
//   --redis HOST:PORT    membership store
//   --cluster NAME       cluster id
//   --first NAME         registration order: bytestreams or orleans first
//   --ByteStreams:KEY=V  any configuration key
// The program exits at EOF of standard input, so that no host outlives a killed test.
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

string Argument(string name) => builder.Configuration[name] ?? throw new ArgumentException($"Missing argument --{name}.");

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
    // A hung or killed host is evicted after 12 to 13 s; with the default of 5 s, after 67 s.
    .Configure<ClusterMembershipOptions>(membership => membership.ProbeTimeout = TimeSpan.FromSeconds(1)));

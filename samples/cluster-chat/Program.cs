using ClusterChat;
using Orleans.Configuration;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);

// The section Orleans of appsettings.json names the cluster, the silo port and the membership store.
// With the default ProbeTimeout of 5 s, a host that hangs stays a member for more than a minute; with 1 s, for 13 s.
builder.UseOrleans(silo => silo.Configure<ClusterMembershipOptions>(options => options.ProbeTimeout = TimeSpan.FromSeconds(1)));

builder.Services.AddByteStreams()
    .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"))
    .AddHandler<ChatHandler>("chat")
    .AddOrleansBackplane();

builder.Services.AddHealthChecks().AddByteStreams();

WebApplication app = builder.Build();
app.MapHealthChecks("/readyz");
await app.RunAsync();

using ClusterChat;
using Orleans.Configuration;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);

// The section Orleans of appsettings.json configures the cluster id, the silo port and the membership store.
// A hung host is evicted after about 67 s with the default ProbeTimeout of 5 s, and after 13 s with 1 s.
builder.UseOrleans(silo => silo.Configure<ClusterMembershipOptions>(options => options.ProbeTimeout = TimeSpan.FromSeconds(1)));

builder.Services.AddByteStreams()
    .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"))
    .AddHandler<ChatHandler>("chat")
    .AddOrleansBackplane();

builder.Services.AddHealthChecks().AddByteStreams();

WebApplication app = builder.Build();
app.MapHealthChecks("/readyz");
await app.RunAsync();

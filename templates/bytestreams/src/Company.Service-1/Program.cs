using Company.Service_1;

#if (web)
WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
#else
HostApplicationBuilder builder = Host.CreateApplicationBuilder(args);
#endif
builder.Services.AddByteStreams()
    .AddHandler<EchoHandler>("echo")
    .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));

#if (web)
builder.Services.AddHealthChecks().AddByteStreams();

WebApplication app = builder.Build();
app.MapGet("/", (ByteStreamMonitor monitor) => $"{monitor.Active} open connections\n");
app.MapHealthChecks("/healthz");
app.Run();
#else
builder.Build().Run();
#endif

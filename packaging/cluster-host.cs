#:sdk Microsoft.NET.Sdk.Web
#:package Microsoft.Orleans.Server
#:package OpenTelemetry.Exporter.Prometheus.AspNetCore
#:package OpenTelemetry.Extensions.Hosting
#:project ../src/Orleans/ByteStreams.Orleans.csproj
#:property PublishAot=false
// One host of a cluster with /metrics and /readyz, for monitoring-test.sh: StreamsHost does not contain ByteStreams.Orleans.
//   dotnet run packaging/cluster-host.cs -- --urls http://127.0.0.1:0
using OpenTelemetry.Metrics;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddByteStreams().AddOrleansBackplane();
builder.Host.UseOrleans(silo => silo.UseLocalhostClustering(siloPort: 11188, gatewayPort: 0));
builder.Services.AddHealthChecks().AddByteStreams();
builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics.AddMeter("ByteStreams").AddPrometheusExporter());
WebApplication application = builder.Build();
application.MapHealthChecks("/readyz");
application.MapPrometheusScrapingEndpoint();
application.Run();

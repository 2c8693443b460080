using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using ByteStreams.Cluster.Host;
using Orleans.Configuration;
using Orleans.Connections.Security;

// A cluster host for test/Orleans.Tests. Arguments:
//   --port N             byte-stream endpoint on 127.0.0.1, with the protocol of GroupsHandler
//   --http N             HTTP port: /readyz, and /metrics with the counters as text
//   --silo N             silo port; below 32768, the start of the ephemeral port range
//   --redis HOST:PORT    membership store
//   --cluster NAME       cluster id
//   --first NAME         registration order: bytestreams or orleans first
//   --Tls:Certificate F  PKCS #12 file for silo.chat: enables TLS between silos
//   --Tls:Authority F    PEM file of the authority that signs the silos' certificates
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

void AddOrleans() => builder.Host.UseOrleans(silo =>
{
    silo.UseRedisClustering(Argument("redis"))
        .ConfigureEndpoints(IPAddress.Loopback, int.Parse(Argument("silo"), CultureInfo.InvariantCulture), gatewayPort: 0)
        .Configure<ClusterOptions>(cluster => cluster.ServiceId = cluster.ClusterId = Argument("cluster"))
        // A hung or killed host is evicted after 12 to 13 s; with the default of 5 s, after 67 s.
        .Configure<ClusterMembershipOptions>(membership => membership.ProbeTimeout = TimeSpan.FromSeconds(1));
    if (builder.Configuration["Tls:Certificate"] is string certificate)
    {
        AddTls(silo, certificate);
    }
});

// The code of docs/cluster.md.
void AddTls(ISiloBuilder silo, string certificate)
{
    X509Certificate2 authority = X509CertificateLoader.LoadCertificateFromFile(Argument("Tls:Authority"));
    silo.UseTls(X509CertificateLoader.LoadPkcs12FromFile(certificate, null), tls =>
    {
        tls.RemoteCertificateMode = RemoteCertificateMode.RequireCertificate;
        tls.ClientCertificateMode = RemoteCertificateMode.RequireCertificate;
        tls.OnAuthenticateAsClient = (connection, authentication) => authentication.TargetHost = "silo.chat";
        tls.RemoteCertificateValidation = (remote, chain, errors) =>
        {
            chain!.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            chain.ChainPolicy.CustomTrustStore.Add(authority);
            return !errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch) && chain.Build(remote);
        };
    });
}

using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using ByteStreams;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using StreamsHost.Configuration;
using StreamsHost.Hosting;

namespace StreamsHost.Tests.Commands;

/// <summary>
/// <c>check</c> on the configurations in test/Host.Tests/Broken, of which each says in its first lines what is to be told of it; and
/// on one that is in order.
/// </summary>
public sealed class CheckTests : IDisposable
{
    private static readonly string Broken = Path.Combine(AppContext.BaseDirectory, "Broken");

    private readonly AuthorityFiles _authority = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public static TheoryData<string> Files => [.. Directory.GetFiles(Broken, "*.json").Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    [Theory(Timeout = 120000)]
    [Trait("Fault", "F45")]
    [MemberData(nameof(Files))]
    public async Task Check_InvalidConfiguration_IsOneLineAndExitCode1(string file)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the messages are those of a Unix system");
        File.Copy(Path.Combine(Broken, file), Path.Combine(_authority.Folder, file));
        Place("good", "localhost", DateTimeOffset.UtcNow.AddDays(5));
        Place("other", "localhost", DateTimeOffset.UtcNow.AddDays(5));
        X509Certificate2 expired = Place("expired", "localhost", DateTimeOffset.UtcNow.AddDays(-1));
        string expected = Expected(file)
            .Replace("{folder}", _authority.Folder, StringComparison.Ordinal)
            .Replace("{temp}", Path.TrimEndingDirectorySeparator(Path.GetTempPath()), StringComparison.Ordinal)
            .Replace("{from}", Utc(expired.NotBefore), StringComparison.Ordinal)
            .Replace("{to}", Utc(expired.NotAfter), StringComparison.Ordinal);

        CliResult result = await Cli.RunAsync(new CliStart { Folder = _authority.Folder }, "check", "--config", file);

        Assert.Equal((1, string.Empty, expected + "\n"), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Check_WithoutAFile_HasTheEndpointsOfTheCommandLineAlone()
    {
        var environment = new Dictionary<string, string> { ["STREAMSHOST_CONFIG"] = "/no/such.json" };
        CliResult result = await Cli.RunAsync(
            new CliStart { Environment = environment },
            "check", "--no-config", "--ByteStreams:Endpoints:own:Url=tcp://127.0.0.1:0", "--ByteStreams:Endpoints:own:Handler=echo");

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
        Assert.Matches("^own +tcp://127.0.0.1:0 +handler echo\nNo configuration file was read.\n1 endpoint is valid", result.Output);
    }

    [Fact(Timeout = 120000)]
    public async Task Check_FileBesideTheProgram_NamesIt()
    {
        CliResult result = await Cli.RunAsync("check");

        Assert.Contains(
            $"Configuration file: {Path.Combine(Path.GetDirectoryName(Cli.Program)!, "appsettings.json")}. --no-config leaves it out.\n",
            result.Output, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120000)]
    public async Task Check_AFileAndNone_IsAnError()
    {
        CliResult result = await Cli.RunAsync("check", "--no-config", "--config", "x.json");

        Assert.Equal(
            (1, "--config names a configuration file, and --no-config refuses it. Leave one of them out.\n"), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task Check_AHandlerNeedsAServiceThatIsNotRegistered_FindsIt()
    {
        WebApplicationBuilder builder = HostApplication.CreateBuilder(
            new HostArguments(null, ["--ByteStreams:Endpoints:a:Url=tcp://127.0.0.1:0", "--ByteStreams:Endpoints:a:Handler=needy"]));
        builder.Services.AddByteStreams().AddHandler<Needy>("needy");
        await using WebApplication host = builder.Build();

        EndpointValidationResult result = await host.Services.GetRequiredService<EndpointValidator>().ValidateAsync(Cancel);

        Assert.Contains(
            "ByteStreams:Endpoints:a:Handler: The handler Needy cannot be created: the service Lazy<String>, which the parameter 'name' of Needy needs, "
            + "is not registered. Register what is missing, or give the parameter a default value.",
            result.Errors.Select(error => error.ToString()));
    }

    [Fact]
    public void Messages_OfAllBrokenConfigurations_AreDifferent()
    {
        string[] messages = [.. Directory.GetFiles(Broken, "*.json").Select(file => Expected(Path.GetFileName(file)))];

        Assert.InRange(messages.Length, 20, int.MaxValue);
        Assert.Equal(messages.Length, messages.Distinct(StringComparer.Ordinal).Count());
    }

    [Fact(Timeout = 120000)]
    public async Task Check_ValidConfiguration_PrintsTheEndpointsAndBindsNothing()
    {
        X509Certificate2 certificate = Place("good", "localhost", DateTimeOffset.UtcNow.AddDays(5));
        await using ByteStreamServer taken = await ByteStream.StartServerAsync((_, _) => Task.CompletedTask, "127.0.0.1", 0, cancellationToken: Cancel);
        int port = ((System.Net.IPEndPoint)taken.EndPoints[0]).Port;
        string file = Path.Combine(_authority.Folder, "good.json");
        await File.WriteAllTextAsync(file, $$"""
            {
              "ByteStreams": {
                "Endpoints": {
                  "echo": { "Url": "tcp://127.0.0.1:{{port}}", "Handler": "echo" },
                  "front": {
                    "Url": "tls://*:0",
                    "Handler": "relay",
                    "Tls": { "Certificates": [ { "Path": "good.crt", "KeyPath": "good.key" } ] },
                    "Relay": { "Upstreams": [ "unix:/run/app/app.sock" ] }
                  }
                }
              }
            }
            """, Cancel);

        CliResult result = await Cli.RunAsync(new CliStart { Folder = _authority.Folder }, "check", "--config", file);

        string[] expected =
        [
            $"echo         {$"tcp://127.0.0.1:{port}",-44} handler echo",
            "front        tls://*:0                                    handler relay",
            $"             certificate localhost, valid until {Utc(certificate.NotAfter)}",
            "Warning: ByteStreams:Endpoints:front:Tls:Certificates:0: the issuer 'CN=Test Authority' is neither in the file nor a root that this system trusts. "
            + "Clients that do not trust this issuer themselves reject the certificate. Append the intermediate certificates to the file.",
            $"Configuration file: {Path.GetFullPath(file, _authority.Folder)}.",
            "2 endpoints are valid. Nothing was bound: whether the addresses are free was not checked.",
            string.Empty,
        ];
        Assert.Equal((0, string.Join(Environment.NewLine, expected), string.Empty), (result.ExitCode, result.Output, result.Errors));
    }

    public void Dispose() => _authority.Dispose();

    /// <summary>The comments with which a file begins.</summary>
    private static string Expected(string file) =>
        string.Join('\n', File.ReadLines(Path.Combine(Broken, file)).TakeWhile(line => line.StartsWith("// ", StringComparison.Ordinal)).Select(line => line[3..]));

    private static string Utc(DateTime time) => time.ToUniversalTime().ToString("u", CultureInfo.InvariantCulture);

    private X509Certificate2 Place(string name, string host, DateTimeOffset notAfter)
    {
        X509Certificate2 certificate = _authority.Authority.Issue(host, [host], purpose: TestAuthority.ForServers, notAfter: notAfter);
        File.WriteAllText(Path.Combine(_authority.Folder, name + ".crt"), certificate.ExportCertificatePem() + "\n");
        File.WriteAllText(Path.Combine(_authority.Folder, name + ".key"), certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem() + "\n");
        return certificate;
    }

    private sealed class Needy(Lazy<string> name) : ByteStreamHandler
    {
        public override Task OnConnectedAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
        {
            writer.Write(name.Value);
            return Task.CompletedTask;
        }
    }
}

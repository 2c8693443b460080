using System.Text.Json;
using ByteStreams;
using ByteStreams.Testing;
using StreamsHost.Tests.Commands;

namespace StreamsHost.Tests.Configuration;

/// <summary>Where relative paths begin: those of the command line where the user is, those in the file in the file's folder.</summary>
public sealed class RelativePathTests : IDisposable
{
    private readonly AuthorityFiles _authority = new();

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory(Timeout = 120000)]
    [InlineData(".")]
    [InlineData("elsewhere")]
    public async Task Check_RelativePathsInTheFile_BeginInItsFolder(string start)
    {
        await WriteAsync();
        string folder = Directory.CreateDirectory(Path.Combine(_authority.Folder, start)).FullName;
        string file = Path.GetRelativePath(folder, Path.Combine(_authority.Folder, "conf", "relative.json"));

        CliResult result = await Cli.RunAsync(new CliStart { Folder = folder }, "check", "--config", file);

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task PrintConfig_RelativePathsInTheFile_PrintsWholeOnes()
    {
        await WriteAsync();

        CliResult result = await Cli.RunAsync(new CliStart(), "print-config", "--json", "--config", Path.Combine(_authority.Folder, "conf", "relative.json"));

        using var values = JsonDocument.Parse(result.Output);
        Assert.Equal(
            [
                Path.Combine(_authority.Folder, "conf", "tls", "ca.pem"),
                Path.Combine(_authority.Folder, "conf", "tls", "ca.pem"),
                Path.Combine(_authority.Folder, "conf", "tls", "tls.crt"),
                Path.Combine(_authority.Folder, "conf", "tls", "tls.crt"),
                Path.Combine(_authority.Folder, "conf", "tls", "tls.key"),
                Path.Combine(_authority.Folder, "conf", "tls", "tls.key"),
            ],
            values.RootElement.EnumerateArray()
                .Where(value => value.GetProperty("key").GetString()!.EndsWith("Path", StringComparison.Ordinal))
                .Select(value => value.GetProperty("value").GetString())
                .Order(StringComparer.Ordinal));
    }

    [Fact(Timeout = 120000)]
    public async Task Check_RelativePathOnTheCommandLine_BeginsWhereTheProgramIsStarted()
    {
        await WriteAsync();
        const string certificate = "--ByteStreams:Endpoints:a:Tls:Certificates:0";

        CliResult result = await Cli.RunAsync(
            new CliStart { Folder = Path.Combine(_authority.Folder, "conf", "tls") },
            "check",
            "--ByteStreams:Endpoints:a:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:a:Handler=echo",
            $"{certificate}:Path=tls.crt",
            $"{certificate}:KeyPath=tls.key");

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task DotnetRun_RelativeConfigurationFile_IsFoundWhereTheUserIs()
    {
        await WriteAsync();
        // bin/CONFIGURATION/net10.0
        string configuration = Path.GetFileName(Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)))!;

        CliResult result = await Cli.RunUnderAsync(
            ["dotnet", "run", "--no-build", "--configuration", configuration, "--project", Path.Combine(Repository.Root, "src", "Host"), "--"],
            new CliStart { Program = "check", Folder = _authority.Folder },
            "--config",
            "conf/relative.json");

        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    public void Dispose() => _authority.Dispose();

    /// <summary>A folder <c>conf</c> with a configuration, whose certificates are in <c>conf/tls</c>.</summary>
    private async Task WriteAsync()
    {
        string folder = Directory.CreateDirectory(Path.Combine(_authority.Folder, "conf", "tls")).FullName;
        TlsCertificateOptions files = _authority.Write("localhost");
        File.Copy(files.Path!, Path.Combine(folder, "tls.crt"));
        File.Copy(files.KeyPath!, Path.Combine(folder, "tls.key"));
        File.Copy(_authority.CaPath, Path.Combine(folder, "ca.pem"));
        await File.WriteAllTextAsync(
            Path.Combine(_authority.Folder, "conf", "relative.json"),
            """
            {
              "ByteStreams": {
                "Endpoints": {
                  "a": {
                    "Url": "tls://127.0.0.1:0",
                    "Handler": "relay",
                    "Tls": {
                      "Certificates": [ { "Path": "tls/tls.crt", "KeyPath": "tls/tls.key" } ],
                      "ClientCertificates": "Require",
                      "ClientCaPath": "tls/ca.pem"
                    },
                    "Relay": {
                      "Upstreams": [ "tls://localhost:7443" ],
                      "Tls": { "CaPath": "tls/ca.pem", "Certificate": { "Path": "tls/tls.crt", "KeyPath": "tls/tls.key" } }
                    }
                  }
                }
              }
            }
            """,
            Cancel);
    }
}

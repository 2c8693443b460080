using System.Text.Json;

namespace StreamsHost.Tests.Commands;

public sealed class PrintConfigTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("streamshost-config-").FullName;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task PrintConfig_EverySource_IsNamedAndSecretsAreHidden()
    {
        CliResult result = await PrintAsync();

        string file = Path.Combine(_folder, "settings.json");
        string secret = Path.Combine(_folder, "secrets", "ByteStreams__Endpoints__tls__Tls__Certificates__0__Password");
        (string Key, string Value, string Source)[] lines =
        [
            ("ByteStreams:Defaults:Limit", "4096", "environment ByteStreams__Defaults__Limit"),
            ("ByteStreams:Endpoints:tls:Admission:Banner", @"421 no\u{D}\u{A}", file),
            ("ByteStreams:Endpoints:tls:Handler", "discard", "command line"),
            ("ByteStreams:Endpoints:tls:Tls:Certificates:0:Password", "(hidden)", $"secret file {secret}"),
            ("ByteStreams:Endpoints:tls:Tls:Certificates:0:Path", "/etc/tls.pfx", file),
            ("ByteStreams:Endpoints:tls:Tls:Certificates:1:Password", "(hidden)", file),
            ("ByteStreams:Endpoints:tls:Url", "tls://*:7443", file),
            ("SecretsDirectory", Path.Combine(_folder, "secrets"), "command line"),
        ];
        int width = Math.Min(40, lines.Max(line => line.Value.Length));
        Assert.Equal(
            string.Concat(lines.Select(line => $"{line.Key.PadRight(53)}  {line.Value.PadRight(width)}  {line.Source}{Environment.NewLine}")),
            result.Output);
        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    [Fact(Timeout = 120000)]
    public async Task PrintConfig_Json_HasTheSameWithoutSecrets()
    {
        CliResult result = await PrintAsync("--json");

        using JsonDocument document = JsonDocument.Parse(result.Output);
        JsonElement first = document.RootElement[0];
        Assert.Equal(
            ("ByteStreams:Defaults:Limit", "4096", false, "environment ByteStreams__Defaults__Limit"),
            (first.GetProperty("key").GetString(), first.GetProperty("value").GetString(), first.GetProperty("hidden").GetBoolean(), first.GetProperty("source").GetString()));
        JsonElement secret = Assert.Single(document.RootElement.EnumerateArray(), value => value.GetProperty("key").GetString()!.EndsWith("1:Password", StringComparison.Ordinal));
        Assert.Equal((JsonValueKind.Null, true), (secret.GetProperty("value").ValueKind, secret.GetProperty("hidden").GetBoolean()));
        Assert.DoesNotContain("sesame", result.Output, StringComparison.Ordinal);
        Assert.Equal(8, document.RootElement.GetArrayLength());
    }

    [Fact(Timeout = 120000)]
    public async Task PrintConfig_All_HasWhatHoldsByDefault()
    {
        CliResult result = await PrintAsync("--all");

        string[] lines = [.. result.Output.Split(Environment.NewLine).Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))];
        Assert.Contains("ByteStreams:Endpoints:tls:Backlog 512 default", lines);
        Assert.Contains("ByteStreams:Endpoints:tls:Limit 4096 ByteStreams:Defaults in environment ByteStreams__Defaults__Limit", lines);
        Assert.Contains("ByteStreams:Endpoints:tls:Tls:HandshakeTimeout 10s default", lines);
        Assert.Contains("ByteStreams:Endpoints:tls:Timeouts:SendStall 1m default", lines);
        Assert.Contains("Logging:LogLevel:Microsoft Warning default", lines);
        // There is no relay, and so it has no settings.
        Assert.DoesNotContain(lines, line => line.Contains(":Relay:", StringComparison.Ordinal));
    }

    [Fact(Timeout = 120000)]
    public async Task Schema_Always_IsTheDocumentedOne()
    {
        CliResult result = await Cli.RunAsync("schema");

        using JsonDocument schema = JsonDocument.Parse(result.Output);
        Assert.Equal("appsettings.json with byte-stream endpoints", schema.RootElement.GetProperty("title").GetString());
        Assert.Equal((0, string.Empty), (result.ExitCode, result.Errors));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private async Task<CliResult> PrintAsync(params string[] options)
    {
        string secrets = Directory.CreateDirectory(Path.Combine(_folder, "secrets")).FullName;
        await File.WriteAllTextAsync(Path.Combine(secrets, "ByteStreams__Endpoints__tls__Tls__Certificates__0__Password"), "open sesame\n", Cancel);
        string file = Path.Combine(_folder, "settings.json");
        await File.WriteAllTextAsync(file, """
            {
              "ByteStreams": {
                "Endpoints": {
                  "tls": {
                    "Url": "tls://*:7443",
                    "Handler": "echo",
                    "Admission": { "Banner": "421 no\r\n" },
                    "Tls": { "Certificates": [ { "Path": "/etc/tls.pfx", "Password": "from the file" }, { "Password": "sesame too" } ] }
                  }
                }
              }
            }
            """, Cancel);
        return await Cli.RunAsync(
            new CliStart { Environment = { ["ByteStreams__Defaults__Limit"] = "4096" } },
            ["print-config", "--config", file, "--SecretsDirectory", secrets, "--ByteStreams:Endpoints:tls:Handler=discard", .. options]);
    }
}

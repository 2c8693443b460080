using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace StreamsHost.Tests.Status;

/// <summary>
/// A headless Chromium, driven by its own chromedriver over the W3C's WebDriver protocol, which is HTTP with JSON: no Node, no package
/// and no download is needed beside what Debian has.
/// </summary>
internal sealed partial class Browser : IAsyncDisposable
{
    private const string Chromium = "/usr/bin/chromium";
    private const string Driver = "/usr/bin/chromedriver";

    private readonly Process _driver;
    private readonly HttpClient _client;
    private readonly string _folder;
    private string _session = string.Empty;

    private Browser(Process driver, HttpClient client, string folder)
    {
        _driver = driver;
        _client = client;
        _folder = folder;
    }

    /// <summary>Skips the test where there is no browser.</summary>
    public static void Require() => Assert.SkipUnless(
        File.Exists(Chromium) && File.Exists(Driver), $"{Chromium} and {Driver} are missing (Debian: chromium, chromium-driver)");

    public static async Task<Browser> StartAsync(CancellationToken cancellationToken)
    {
        string folder = Directory.CreateTempSubdirectory("browser-").FullName;
        var start = new ProcessStartInfo(Driver, "--port=0") { RedirectStandardOutput = true, RedirectStandardError = true };
        Process driver = Process.Start(start)!;
        string? line;
        while (!Port().IsMatch(line = await driver.StandardOutput.ReadLineAsync(cancellationToken) ?? throw new InvalidOperationException("chromedriver ended at once.")))
        {
        }

        // Nobody reads on: it would wait when the pipe is full.
        _ = driver.StandardOutput.BaseStream.CopyToAsync(Stream.Null, CancellationToken.None);
        _ = driver.StandardError.BaseStream.CopyToAsync(Stream.Null, CancellationToken.None);
        var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{Port().Match(line).Groups[1].Value}"), Timeout = Patience.Limit };
        var browser = new Browser(driver, client, folder);
        try
        {
            await browser.BeginAsync(cancellationToken);
            return browser;
        }
        catch
        {
            await browser.DisposeAsync();
            throw;
        }
    }

    /// <summary>Forgets what an earlier test has opened, emulated and complained about.</summary>
    public async Task ResetAsync(CancellationToken cancellationToken)
    {
        await GoAsync("about:blank", cancellationToken);
        await DevToolsAsync("Emulation.clearDeviceMetricsOverride", [], cancellationToken);
        await DevToolsAsync("Emulation.setEmulatedMedia", new JsonObject { ["features"] = new JsonArray() }, cancellationToken);
        await ComplaintsAsync(cancellationToken);
    }

    public Task GoAsync(string url, CancellationToken cancellationToken) => PostAsync("url", new JsonObject { ["url"] = url }, cancellationToken);

    /// <summary>Runs a script, whose <c>return</c> is the answer.</summary>
    public async Task<JsonNode?> RunAsync(string script, CancellationToken cancellationToken) =>
        await PostAsync("execute/sync", new JsonObject { ["script"] = script, ["args"] = new JsonArray() }, cancellationToken);

    public async Task<string?> TextAsync(string selector, CancellationToken cancellationToken) =>
        (string?)await RunAsync($"return document.querySelector({JsonValue.Create(selector)!.ToJsonString()})?.textContent ?? null", cancellationToken);

    /// <summary>Waits until an expression holds; the page's own changes are what it is looked at for.</summary>
    public async Task UntilAsync(string expression, CancellationToken cancellationToken)
    {
        string script = $$"""
            const done = arguments[arguments.length - 1];
            const holds = () => { try { return {{expression}}; } catch { return false; } };
            if (holds()) { done(true); } else {
              const observer = new MutationObserver(() => { if (holds()) { observer.disconnect(); done(true); } });
              observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
            }
            """;
        try
        {
            await PostAsync("execute/async", new JsonObject { ["script"] = script, ["args"] = new JsonArray() }, cancellationToken);
        }
        catch (InvalidOperationException error)
        {
            string page = await TextAsync("main", cancellationToken) ?? string.Empty;
            throw new InvalidOperationException($"It never came to be that {expression}. {error.Message}\nThe page says: {Spaces().Replace(page, " ")}", error);
        }
    }

    /// <summary>Sets the window's inner size, as a phone where it is narrow, and the scheme that the person prefers.</summary>
    public async Task ShowAsAsync(int width, int height, string scheme, CancellationToken cancellationToken)
    {
        await DevToolsAsync("Emulation.setDeviceMetricsOverride", new JsonObject { ["width"] = width, ["height"] = height, ["deviceScaleFactor"] = 1, ["mobile"] = width < 600 }, cancellationToken);
        await DevToolsAsync(
            "Emulation.setEmulatedMedia",
            new JsonObject { ["features"] = new JsonArray(new JsonObject { ["name"] = "prefers-color-scheme", ["value"] = scheme }) },
            cancellationToken);
    }

    /// <summary>The whole page as PNG, not only what fits into the window.</summary>
    public async Task<byte[]> ScreenshotAsync(bool whole, CancellationToken cancellationToken) => Convert.FromBase64String(
        (string)(await DevToolsAsync("Page.captureScreenshot", new JsonObject { ["captureBeyondViewport"] = whole }, cancellationToken))!["data"]!);

    /// <summary>What the browser has to complain about since the last time: errors of scripts, answers that are none, breaches of the policy.</summary>
    public async Task<IReadOnlyList<string>> ComplaintsAsync(CancellationToken cancellationToken) =>
        [.. ((JsonArray)(await PostAsync("se/log", new JsonObject { ["type"] = "browser" }, cancellationToken))!).Select(entry => $"{entry!["level"]}: {entry["message"]}")];

    public async ValueTask DisposeAsync()
    {
        if (_session.Length > 0)
        {
            using HttpResponseMessage _ = await _client.DeleteAsync(new Uri($"/session/{_session}", UriKind.Relative));
        }

        if (!_driver.HasExited)
        {
            _driver.Kill(entireProcessTree: true);
            await _driver.WaitForExitAsync();
        }

        _driver.Dispose();
        _client.Dispose();
        // Some of Chromium's processes outlive the session, and may write while the folder is deleted.
        await Patience.UntilAsync(() => !IsFolderInUse());
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Whether a process was started with the profile's folder.</summary>
    private bool IsFolderInUse() => Directory.EnumerateDirectories("/proc")
        .Where(folder => int.TryParse(Path.GetFileName(folder), out _))
        .Any(folder => IsOfFolder(Path.Combine(folder, "cmdline")));

    private bool IsOfFolder(string commandLine)
    {
        try
        {
            return File.ReadAllText(commandLine).Contains(_folder, StringComparison.Ordinal);
        }
        catch (IOException)
        {
            // The process has exited meanwhile.
            return false;
        }
    }

    private async Task BeginAsync(CancellationToken cancellationToken)
    {
        string[] arguments =
        [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", $"--user-data-dir={_folder}",
        ];
        var options = new JsonObject { ["binary"] = Chromium, ["args"] = new JsonArray([.. arguments.Select(argument => JsonValue.Create(argument))]) };
        var always = new JsonObject
        {
            ["browserName"] = "chrome",
            ["goog:loggingPrefs"] = new JsonObject { ["browser"] = "ALL" },
            ["goog:chromeOptions"] = options,
            ["timeouts"] = new JsonObject { ["script"] = (int)TimeSpan.FromSeconds(30).TotalMilliseconds },
        };
        JsonNode? begun = await SendAsync("/session", new JsonObject { ["capabilities"] = new JsonObject { ["alwaysMatch"] = always } }, cancellationToken);
        _session = (string)begun!["sessionId"]!;
    }

    private Task<JsonNode?> DevToolsAsync(string command, JsonObject parameters, CancellationToken cancellationToken) =>
        PostAsync("goog/cdp/execute", new JsonObject { ["cmd"] = command, ["params"] = parameters }, cancellationToken);

    private Task<JsonNode?> PostAsync(string command, JsonObject body, CancellationToken cancellationToken) =>
        SendAsync(string.Create(CultureInfo.InvariantCulture, $"/session/{_session}/{command}"), body, cancellationToken);

    private async Task<JsonNode?> SendAsync(string path, JsonObject body, CancellationToken cancellationToken)
    {
        // With a length: chromedriver does not read a body in chunks.
        using var content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
        using HttpResponseMessage response = await _client.PostAsync(new Uri(path, UriKind.Relative), content, cancellationToken);
        JsonNode answer = (await response.Content.ReadFromJsonAsync<JsonNode>(cancellationToken))!;
        return response.IsSuccessStatusCode ? answer["value"] : throw new InvalidOperationException($"{path}: {answer["value"]?["message"]}");
    }

    [GeneratedRegex(@"started successfully on port (\d+)")]
    private static partial Regex Port();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}

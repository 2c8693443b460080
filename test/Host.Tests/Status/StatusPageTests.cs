using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using ByteStreams;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;

namespace StreamsHost.Tests.Status;

/// <summary>The status page in a real browser, over a real host.</summary>
public sealed class StatusPageTests(SharedBrowser shared) : IClassFixture<SharedBrowser>, IAsyncLifetime
{
    /// <summary>What would show that a browser has run it: the page's title becomes another one.</summary>
    private const string Evil = "<img src=x onerror=document.title='owned'>";

    private Browser _browser = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        Browser.Require();
        _browser = await shared.GetAsync(Cancel);
    }

    public ValueTask DisposeAsync() => default;

    [Fact(Timeout = 120000)]
    public async Task Page_ConnectionComesCarriesBytesAndEnds_ShowsIt()
    {
        await using HostProcess host = await OpenAsync();
        Assert.Equal("No open connections.", await _browser.TextAsync("#connections-none", Cancel));

        ByteStreamConnection connection = await ConnectAsync(host);
        string peer = connection.Writer.LocalEndPoint!.ToString()!;
        await _browser.UntilAsync($"{Row("connections", peer)} && [...{Row("connections", peer)}.cells].some(cell => cell.textContent === '6 B')", Cancel);
        await _browser.UntilAsync("document.querySelector('#now-active').textContent === '1'", Cancel);

        await AskAsync(connection, new string('x', 1993) + "\n");
        await _browser.UntilAsync($"[...{Row("connections", peer)}.cells].filter(cell => cell.textContent === '2 kB').length === 2", Cancel);
        await connection.DisposeAsync();

        await _browser.UntilAsync($"!{Row("connections", peer)} && {Row("ended", peer)}.textContent.includes('closed by peer')", Cancel);
        await _browser.UntilAsync("document.querySelector('#now-active').textContent === '0'", Cancel);
        await _browser.UntilAsync("document.querySelector('#reasons').textContent.includes('closed by peer1')", Cancel);
        Assert.Contains("highest", await _browser.TextAsync("#plot-active-text", Cancel), StringComparison.Ordinal);
        Assert.Matches("^received now .*; sent now ", await _browser.TextAsync("#plot-bytes-text", Cancel));
        Assert.Empty(await _browser.ComplaintsAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Page_ClientsOfAGroup_ShowsItsMembersAndRates()
    {
        await using HostProcess host = await OpenAsync();
        await _browser.UntilAsync("document.querySelector('#groups-section').hidden", Cancel);

        await using ByteStreamConnection one = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("chat"), cancellationToken: Cancel);
        await using ByteStreamConnection other = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("chat"), cancellationToken: Cancel);
        await AskAsync(one, "hello\n");

        await _browser.UntilAsync("document.querySelector('#groups').textContent === 'chat2'", Cancel);
        await _browser.UntilAsync("/^1 groups, 2 connections, .* sends and .* deliveries per second$/.test(document.querySelector('#groups-text').textContent)", Cancel);
        Assert.Empty(await _browser.ComplaintsAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F17")]
    public async Task Page_ScriptInWhatPeersSend_IsShownAndNotRun()
    {
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("localhost");
        await using HostProcess host = await OpenAsync(
            "--ByteStreams:Endpoints:proxied:Url=tcp://127.0.0.1:0",
            "--ByteStreams:Endpoints:proxied:Handler=echo",
            "--ByteStreams:Endpoints:proxied:ProxyProtocol:TrustedNetworks=127.0.0.1",
            "--ByteStreams:Endpoints:secure:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:secure:Handler=echo",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:Path={certificate.Path}",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:KeyPath={certificate.KeyPath}",
            "--ByteStreams:Endpoints:secure:Tls:ClientCertificates=Require",
            $"--ByteStreams:Endpoints:secure:Tls:ClientCaPath={authority.CaPath}");
        var header = new ProxyHeader
        {
            Source = IPEndPoint.Parse("192.0.2.7:51324"),
            Destination = IPEndPoint.Parse("192.0.2.1:443"),
            Tlvs = [new ProxyTlv(ProxyTlv.Authority, Encoding.UTF8.GetBytes($"</td><script>document.title='owned'</script>{Evil}\u202Ereversed"))],
        };
        ByteStreamConnection proxied = await ByteStream.OpenConnectionAsync(
            "127.0.0.1", host.Port("proxied"), new ByteStreamClientOptions { ProxyHeader = header }, Cancel);
        var tls = new TlsClientOptions { CaPath = authority.CaPath, Certificate = authority.Write(Evil), ServerName = "localhost" };
        ByteStreamConnection secure = await ByteStream.OpenConnectionAsync(
            "127.0.0.1", host.Port("secure"), new ByteStreamClientOptions { Tls = tls.CreateAuthenticationOptions() }, Cancel);
        await AskAsync(proxied, "hello\n");
        await AskAsync(secure, "hello\n");

        await _browser.UntilAsync($"{Row("connections", "<script>document.title=")} && {Row("connections", "as " + Evil)}", Cancel);
        await proxied.DisposeAsync();
        await secure.DisposeAsync();
        await _browser.UntilAsync($"{Row("ended", "192.0.2.7:51324")} && {Row("ended", "as " + Evil)}", Cancel);

        Assert.Equal("StreamsHost", (string?)await _browser.RunAsync("return document.title", Cancel));
        Assert.Equal(0, (int)(await _browser.RunAsync("return document.querySelectorAll('table :is(img, script, svg)').length", Cancel))!);
        Assert.Empty(await _browser.ComplaintsAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Page_OperatorEndsAConnection_IsResetForOneReason()
    {
        await using HostProcess host = await OpenAsync("--Admin:AllowChanges=true");
        await using ByteStreamConnection connection = await ConnectAsync(host);
        string peer = connection.Writer.LocalEndPoint!.ToString()!;
        await _browser.UntilAsync($"{Row("connections", peer)}.querySelector('button')", Cancel);

        await _browser.RunAsync($"{Row("connections", peer)}.querySelector('button').click()", Cancel);
        Assert.True((bool)(await _browser.RunAsync("return document.querySelector('#ask').open && document.activeElement.id === 'ask-no'", Cancel))!);
        await _browser.RunAsync("document.querySelector('#ask-yes').click()", Cancel);

        await Assert.ThrowsAsync<ConnectionResetException>(async () => await connection.Reader.ReadAsync(cancellationToken: Cancel));
        await _browser.UntilAsync($"{Row("ended", peer)}.textContent.includes('closed by operator')", Cancel);
        Assert.Empty(await _browser.ComplaintsAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Page_HostStopsAndRestarts_ShowsIt()
    {
        HostProcess host = await OpenAsync();
        string address = host.StatusAddresses[0];
        await host.DisposeAsync();
        await _browser.UntilAsync("document.querySelector('#link').textContent === 'no connection to the host'", Cancel);

        await using HostProcess again = HostProcess.Start($"--Admin:Url={address}");
        await again.WaitUntilUpAsync();

        await _browser.UntilAsync("document.querySelector('#link').textContent === 'live'", Cancel);
    }

    /// <summary>What people need who do not see the page, or do not use a mouse.</summary>
    [Fact(Timeout = 120000)]
    public async Task Page_Structure_HasNamesAndPlacesForEverything()
    {
        await using HostProcess host = await OpenAsync("--Admin:AllowChanges=true");
        await using ByteStreamConnection connection = await ConnectAsync(host);
        await _browser.UntilAsync("document.querySelector('#connections button')", Cancel);

        var errors = (JsonArray)(await _browser.RunAsync(
            """
            const errors = [];
            const all = selector => [...document.querySelectorAll(selector)];
            const check = (elements, is, what) => elements.filter(element => !is(element)).forEach(element => errors.push(what + ': ' + element.outerHTML.slice(0, 120)));
            check(['header', 'main', 'footer', 'nav', 'h1'].filter(tag => document.querySelectorAll(tag).length !== 1).map(tag => ({ outerHTML: tag })), () => false, 'not exactly one');
            check(all('section'), section => document.getElementById(section.getAttribute('aria-labelledby'))?.textContent, 'a section without a name');
            check(all('th'), head => head.scope === 'col' && head.textContent, 'a head without a scope or a text');
            check(all('tbody tr'), row => row.cells.length === row.closest('table').querySelectorAll('th:not([hidden])').length, 'a row with other columns than its head');
            check(all('button, a, select'), element => (element.getAttribute('aria-label') || element.labels?.[0]?.textContent || element.textContent).trim(), 'a control without a name');
            check(all('button, a[href], select'), element => element.tabIndex === 0, 'a control that the keyboard does not reach');
            check(all('img'), image => image.hasAttribute('alt'), 'an image without a text');
            check(all('figure'), figure => figure.querySelector('figcaption').textContent.includes('now') && figure.querySelector('.plot').getAttribute('aria-hidden') === 'true', 'a plot without words');
            check(all('[aria-live], [role=status]').slice(1), () => false, 'more than one live region');
            document.querySelector('.skip').focus();
            check([document.activeElement], element => element.className === 'skip' && getComputedStyle(element).outlineStyle !== 'none', 'a focus that is not seen');
            return errors;
            """,
            Cancel))!;

        Assert.Empty(errors.Select(error => (string?)error));
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F78")]
    public async Task Page_CertificateFileIsBroken_ShowsItUntilItIsReplaced()
    {
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("localhost");
        await using HostProcess host = await OpenAsync(
            "--ByteStreams:Endpoints:secure:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:secure:Handler=echo",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:Path={certificate.Path}",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:KeyPath={certificate.KeyPath}",
            "--ByteStreams:Endpoints:secure:Tls:ClientCertificates=Require",
            $"--ByteStreams:Endpoints:secure:Tls:ClientCaPath={authority.CaPath}");
        string good = await File.ReadAllTextAsync(certificate.Path!, Cancel);
        string authorities = await File.ReadAllTextAsync(authority.CaPath, Cancel);
        Assert.Equal(1, (int)(await _browser.RunAsync("return document.querySelectorAll('#certificates tr').length", Cancel))!);

        await File.WriteAllTextAsync(certificate.Path!, string.Empty, Cancel);
        await File.WriteAllTextAsync(authority.CaPath, string.Empty, Cancel);
        await _browser.UntilAsync($"{Row("certificates", "changed file rejected " + certificate.Path)} && {Row("certificates", "changed file rejected " + authority.CaPath)}", Cancel);
        string row = (string)(await _browser.RunAsync($"return {Row("certificates", certificate.Path!)}.textContent", Cancel))!;
        Assert.StartsWith("localhost", row, StringComparison.Ordinal);
        Assert.Contains("cannot be used: the file is empty.", row, StringComparison.Ordinal);

        await File.WriteAllTextAsync(certificate.Path!, good, Cancel);
        await File.WriteAllTextAsync(authority.CaPath, authorities, Cancel);
        await _browser.UntilAsync($"!{Row("certificates", "rejected")} && document.querySelectorAll('#certificates tr').length === 1", Cancel);
        Assert.Empty(await _browser.ComplaintsAsync(Cancel));
    }

    /// <summary>With <c>BYTESTREAMS_REGENERATE=1</c> in the environment, the pictures of the documentation are taken anew.</summary>
    [Theory(Timeout = 120000)]
    [InlineData("light", 1280, 800, "status-page.png")]
    [InlineData("dark", 1280, 800, "status-page-dark.png")]
    [InlineData("light", 390, 844, "status-page-phone.png")]
    [InlineData("dark", 390, 844, null)]
    public async Task Generate_Picture_FollowsTheSchemeAndFitsTheScreen(string scheme, int width, int height, string? file)
    {
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("echo.example");
        await _browser.ShowAsAsync(width, height, scheme, Cancel);
        await using HostProcess host = await OpenAsync(
            "--ByteStreams:Endpoints:secure:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:secure:Handler=relay",
            "--ByteStreams:Endpoints:secure:Relay:Upstreams=tcp://127.0.0.1:1",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:Path={certificate.Path}",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:KeyPath={certificate.KeyPath}");
        bool regenerate = file is not null && Environment.GetEnvironmentVariable("BYTESTREAMS_REGENERATE") == "1";
        List<ByteStreamConnection> connections = [];
        for (int i = 0; i < 6; i++)
        {
            connections.Add(await ConnectAsync(host));
        }

        // For the documentation something that goes up and down; the test itself needs one sample.
        for (int second = 0; second < (regenerate ? 45 : 1); second++)
        {
            long before = (long)(await _browser.RunAsync("return samples.length", Cancel))!;
            for (int i = 0; i < connections.Count; i++)
            {
                await AskAsync(connections[i], new string('x', 500 + (int)(400 * Math.Sin((second / 6.0) + i)) + (i * 300)) + "\n");
            }

            if (second % 4 == 1)
            {
                await connections[0].DisposeAsync();
                connections.RemoveAt(0);
                connections.Add(await ConnectAsync(host));
            }

            await _browser.UntilAsync($"samples.length > {before}", Cancel);
        }

        byte[] picture = await _browser.ScreenshotAsync(whole: false, Cancel);
        string background = (string)(await _browser.RunAsync("return getComputedStyle(document.body).backgroundColor", Cancel))!;
        int wide = (int)(await _browser.RunAsync("return document.documentElement.scrollWidth", Cancel))!;
        Assert.Equal(scheme == "light" ? "rgb(244, 246, 248)" : "rgb(15, 20, 25)", background);
        Assert.InRange(wide, 1, width);
        Assert.InRange(picture.Length, 10_000, 500_000);
        if (regenerate)
        {
            await File.WriteAllBytesAsync(Path.Combine(Repository.Root, "docs", file!), picture, Cancel);
        }

        foreach (ByteStreamConnection connection in connections)
        {
            await connection.DisposeAsync();
        }

        Assert.Empty(await _browser.ComplaintsAsync(Cancel));
    }

    /// <summary>The script's expression for the row of a table that has a text.</summary>
    private static string Row(string table, string text) =>
        $"[...document.querySelectorAll('#{table} tr')].find(row => row.textContent.includes({JsonValue.Create(text)!.ToJsonString()}))";

    private static async Task<ByteStreamConnection> ConnectAsync(HostProcess host)
    {
        ByteStreamConnection connection = await ByteStream.OpenConnectionAsync("127.0.0.1", host.Port("echo"), cancellationToken: Cancel);
        await AskAsync(connection, "hello\n");
        return connection;
    }

    private static async Task AskAsync(ByteStreamConnection connection, string line)
    {
        connection.Writer.Write(line);
        Assert.Equal(line, Encoding.UTF8.GetString(await connection.Reader.ReadLineAsync(Cancel)));
    }

    /// <summary>Starts a host and opens its page.</summary>
    private async Task<HostProcess> OpenAsync(params string[] arguments)
    {
        HostProcess host = HostProcess.Start(arguments);
        await host.WaitUntilUpAsync(3 + arguments.Count(argument => argument.Contains(":Url=tcp", StringComparison.Ordinal) || argument.Contains(":Url=tls", StringComparison.Ordinal)));
        await _browser.GoAsync(host.StatusAddresses[0], Cancel);
        await _browser.UntilAsync("document.querySelector('#link').textContent === 'live' && document.querySelector('#endpoints tr')", Cancel);
        return host;
    }
}

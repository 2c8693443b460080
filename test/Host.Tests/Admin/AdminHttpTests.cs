using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;
using ByteStreams;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace StreamsHost.Tests.Admin;

/// <summary>What the HTTP side answers, and to whom it does not.</summary>
public partial class AdminHttpTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Theory(Timeout = 120000)]
    [InlineData("/livez", "ok\n")]
    [InlineData("/readyz", "ok\nbytestreams: ok\n")]
    public async Task Health_Serving_IsOk(string path, string verbose)
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);

        Assert.Equal("ok\n", await GetAsync(admin, path));
        Assert.Equal(verbose, await GetAsync(admin, path + "?verbose"));
        using JsonDocument json = await JsonAsync(admin, path);
        Assert.True(json.RootElement.GetProperty("ok").GetBoolean());
    }

    [Fact(Timeout = 120000)]
    public async Task Metrics_ConnectionsWereServed_AreInPrometheusText()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        await using ByteStreamConnection connection = await admin.ConnectAsync("echo", Cancel);

        string metrics = await GetAsync(admin, "/metrics");

        Assert.Matches(@"(?m)^bytestreams_accepted_connections_total\{[^}]*bytestreams_endpoint=""echo""[^}]*\} 1$", metrics);
        Assert.Matches(@"(?m)^bytestreams_active_connections\{[^}]*bytestreams_endpoint=""echo""[^}]*\} 1$", metrics);
        Assert.Matches(@"(?m)^bytestreams_connection_io_bytes_total\{[^}]*network_io_direction=""receive""[^}]*\} 6$", metrics);
        Assert.Matches(@"(?m)^dotnet_process_memory_working_set_bytes\S* [1-9]", metrics);
    }

    [Fact(Timeout = 120000)]
    public async Task Connections_SomeAreOpen_ListsThemInPages()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        await using ByteStreamConnection first = await admin.ConnectAsync("echo", Cancel);
        await using ByteStreamConnection second = await admin.ConnectAsync("echo-unix", Cancel);

        using JsonDocument newest = await JsonAsync(admin, "/connections?limit=1");
        using JsonDocument rest = await JsonAsync(admin, $"/connections?limit=1&before={newest.RootElement.GetProperty("before")}");
        using JsonDocument echo = await JsonAsync(admin, "/connections?endpoint=echo");

        Assert.Equal(2, newest.RootElement.GetProperty("active").GetInt32());
        Assert.Equal("echo-unix", Assert.Single(newest.RootElement.GetProperty("connections").EnumerateArray()).GetProperty("endpoint").GetString());
        JsonElement connection = Assert.Single(rest.RootElement.GetProperty("connections").EnumerateArray());
        Assert.Equal(
            [
                "id", "endpoint", "handler", "peer", "proxy", "tlsVersion", "serverName", "clientName", "upstream", "bytesReceived", "bytesSent", "ageSeconds",
                "idleSeconds", "closeReason",
            ],
            connection.EnumerateObject().Select(property => property.Name));
        Assert.Equal(first.Writer.LocalEndPoint!.ToString(), connection.GetProperty("peer").GetString());
        Assert.Equal(("echo", 6), (connection.GetProperty("handler").GetString(), connection.GetProperty("bytesReceived").GetInt32()));
        Assert.Equal(JsonValueKind.Null, connection.GetProperty("closeReason").ValueKind);
        Assert.Single(echo.RootElement.GetProperty("connections").EnumerateArray());
        Assert.Equal(JsonValueKind.Null, echo.RootElement.GetProperty("before").ValueKind);
    }

    [Theory(Timeout = 120000)]
    [InlineData("limit=0", "limit: '0' is not valid. It takes a number from 1 to 1000.\n")]
    [InlineData("limit=1001", "limit: '1001' is not valid. It takes a number from 1 to 1000.\n")]
    [InlineData("limit=1%0a", "limit: '1\\u{A}' is not valid. It takes a number from 1 to 1000.\n")]
    [InlineData("before=-1", "before: '-1' is not valid. It takes what the last answer says as before.\n")]
    public async Task Connections_InvalidQuery_IsAnsweredWithTheValidValues(string query, string message)
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);

        using HttpResponseMessage response = await admin.Client.GetAsync(new Uri($"/connections?{query}", UriKind.Relative), Cancel);

        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.Equal(message, await response.Content.ReadAsStringAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Endpoints_OfEachType_HaveTheirSettingsAndCounts()
    {
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("localhost");
        await using AdminSide admin = await AdminSide.StartAsync(
            Cancel,
            "--ByteStreams:Endpoints:secure:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:secure:Handler=relay",
            "--ByteStreams:Endpoints:secure:Relay:Upstreams=tcp://127.0.0.1:1",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:Path={certificate.Path}",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:KeyPath={certificate.KeyPath}");
        await using ByteStreamConnection connection = await admin.ConnectAsync("echo", Cancel);

        using JsonDocument json = await JsonAsync(admin, "/endpoints");

        Assert.Equal("serving", json.RootElement.GetProperty("state").GetString());
        Dictionary<string, JsonElement> endpoints = json.RootElement.GetProperty("endpoints").EnumerateArray().ToDictionary(endpoint => endpoint.GetProperty("name").GetString()!);
        Assert.Equal(["chat", "echo", "echo-unix", "secure"], endpoints.Keys.Order());
        JsonElement echo = endpoints["echo"];
        Assert.Equal("tcp://127.0.0.1:0", echo.GetProperty("url").GetString());
        Assert.Equal($"tcp://{admin.EndPoint("echo")}", Assert.Single(echo.GetProperty("addresses").EnumerateArray()).GetString());
        Assert.Equal((1, 1, 6, 6), (
            echo.GetProperty("active").GetInt32(), echo.GetProperty("accepted").GetInt32(), echo.GetProperty("bytesReceived").GetInt32(), echo.GetProperty("bytesSent").GetInt32()));
        Assert.Equal($"tls://{admin.EndPoint("secure")}", Assert.Single(endpoints["secure"].GetProperty("addresses").EnumerateArray()).GetString());
        JsonElement shown = Assert.Single(endpoints["secure"].GetProperty("certificates").EnumerateArray());
        Assert.Equal("localhost", shown.GetProperty("subject").GetString());
        Assert.True(shown.GetProperty("notAfter").GetDateTimeOffset() > DateTimeOffset.UtcNow);
        Assert.True(Assert.Single(endpoints["secure"].GetProperty("upstreams").EnumerateArray()).GetProperty("healthy").GetBoolean());
    }

    [Fact(Timeout = 120000)]
    [Trait("Fault", "F78")]
    public async Task Endpoints_CertificateFilesAreBroken_HaveTheErrors()
    {
        using var authority = new AuthorityFiles();
        TlsCertificateOptions certificate = authority.Write("localhost");
        await using AdminSide admin = await AdminSide.StartAsync(
            Cancel,
            "--ByteStreams:Endpoints:secure:Url=tls://127.0.0.1:0",
            "--ByteStreams:Endpoints:secure:Handler=echo",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:Path={certificate.Path}",
            $"--ByteStreams:Endpoints:secure:Tls:Certificates:0:KeyPath={certificate.KeyPath}",
            "--ByteStreams:Endpoints:secure:Tls:ClientCertificates=Require",
            $"--ByteStreams:Endpoints:secure:Tls:ClientCaPath={authority.CaPath}");
        Assert.Equal((null, null), await ErrorsAsync());

        await File.WriteAllTextAsync(certificate.Path!, string.Empty, Cancel);
        await File.WriteAllTextAsync(authority.CaPath, string.Empty, Cancel);
        (string? Certificate, string? Authorities) errors = await Patience.UntilAsync(ErrorsAsync, now => now is { Certificate: not null, Authorities: not null });

        Assert.Equal($"{certificate.Path} with {certificate.KeyPath} cannot be used: the file is empty. Write the certificates to it (PEM).", errors.Certificate);
        Assert.Equal($"{authority.CaPath} cannot be used: the file is empty. Write the certificates to it (PEM).", errors.Authorities);

        async Task<(string? Certificate, string? Authorities)> ErrorsAsync()
        {
            using JsonDocument json = await JsonAsync(admin, "/endpoints");
            JsonElement secure = json.RootElement.GetProperty("endpoints").EnumerateArray().Single(endpoint => endpoint.GetProperty("name").GetString() == "secure");
            return (Text(secure.GetProperty("certificates")[0], "error"), Text(secure, "clientAuthoritiesError"));
        }

        static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out JsonElement value) ? value.GetString() : null;
    }

    [Fact(Timeout = 120000)]
    public async Task Delete_ChangesNotAllowed_IsRefusedWithTheKey()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        await using ByteStreamConnection connection = await admin.ConnectAsync("echo", Cancel);

        foreach (string path in (string[])[$"/connections/{admin.Monitor.Connections()[0].Id}", "/drain"])
        {
            using var request = new HttpRequestMessage(path == "/drain" ? HttpMethod.Post : HttpMethod.Delete, path);
            using HttpResponseMessage response = await admin.Client.SendAsync(request, Cancel);
            Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
            Assert.Equal("Changes are not allowed here. Set Admin:AllowChanges to true.\n", await response.Content.ReadAsStringAsync(Cancel));
        }

        Assert.Equal(1, admin.Monitor.Active);
    }

    [Theory(Timeout = 120000)]
    [InlineData("Origin", "http://evil.example")]
    [InlineData("Origin", "null")]
    [InlineData("Origin", "http://localhost:1")]
    [InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Sec-Fetch-Site", "same-site")]
    [InlineData("Sec-Fetch-Site", "none")]
    public async Task Delete_FromAnotherSite_IsRefused(string header, string value)
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel, "--Admin:AllowChanges=true");
        await using ByteStreamConnection connection = await admin.ConnectAsync("echo", Cancel);

        using HttpResponseMessage response = await DeleteAsync(admin, (header, value));

        Assert.Equal(HttpStatusCode.Forbidden, response.StatusCode);
        Assert.StartsWith("The request comes from another web site.", await response.Content.ReadAsStringAsync(Cancel), StringComparison.Ordinal);
        Assert.Equal(1, admin.Monitor.Active);
    }

    [Fact(Timeout = 120000)]
    public async Task Delete_FromThePageItself_EndsTheConnection()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel, "--Admin:AllowChanges=true");
        await using ByteStreamConnection connection = await admin.ConnectAsync("echo", Cancel);

        using HttpResponseMessage response = await DeleteAsync(admin, ("Origin", "http://localhost"), ("Sec-Fetch-Site", "same-origin"));
        using HttpResponseMessage again = await admin.Client.DeleteAsync(new Uri("/connections/none%0a", UriKind.Relative), Cancel);

        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        await Assert.ThrowsAsync<ConnectionResetException>(async () => await connection.Reader.ReadAsync(cancellationToken: Cancel));
        Assert.Equal(HttpStatusCode.NotFound, again.StatusCode);
        Assert.Equal("There is no open connection 'none\\u{A}'.\n", await again.Content.ReadAsStringAsync(Cancel));
    }

    [Fact(Timeout = 120000)]
    public async Task Drain_ChangesAllowed_IsNotReadyAtOnceAndGoesOnAnswering()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel, "--Admin:AllowChanges=true");

        using HttpResponseMessage drained = await admin.Client.PostAsync(new Uri("/drain", UriKind.Relative), null, Cancel);
        using HttpResponseMessage ready = await admin.Client.GetAsync(new Uri("/readyz", UriKind.Relative), Cancel);

        Assert.Equal(HttpStatusCode.Accepted, drained.StatusCode);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, ready.StatusCode);
        Assert.Equal("failed\nbytestreams: failed, The endpoints end.\n", await ready.Content.ReadAsStringAsync(Cancel));
        Assert.Equal("An operator at a Unix socket started to drain the host.", Assert.Single(admin.Log.GetSnapshot(), record => record.Id.Id == 921).Message);
        Assert.Equal("ok\n", await GetAsync(admin, "/livez"));
    }

    [Theory(Timeout = 120000)]
    [InlineData("127.0.0.1", "evil.example", 421)]
    [InlineData("127.0.0.1", "localhost.evil.example", 421)]
    [InlineData("::1", "evil.example:7000", 421)]
    [InlineData("::ffff:127.0.0.1", "evil.example", 421)]
    [InlineData("127.0.0.1", ".", 421)]
    [InlineData("127.0.0.1", " ", 421)]
    [InlineData("127.0.0.1", ":7000", 421)]
    [InlineData("127.0.0.1", "", 200)]
    [InlineData("10.0.0.1", "", 200, "status.example")]
    [InlineData("127.0.0.1", "localhost:7000", 200)]
    [InlineData("127.0.0.1", "127.0.0.1:7000", 200)]
    [InlineData("::1", "[::1]:7000", 200)]
    [InlineData("127.0.0.1", "status.example", 200, "status.example")]
    [InlineData("10.0.0.1", "whatever.example", 200)]
    [InlineData("10.0.0.1", "whatever.example", 421, "status.example")]
    [InlineData(null, "whatever.example", 200)]
    public async Task Get_ByANameThatIsNotOurs_IsMisdirectedWhereABrowserMayBeLuredThere(string? local, string host, int status, string? allowed = null)
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel, allowed is null ? [] : [$"--Admin:AllowedHosts={allowed}"]);

        HttpContext context = await admin.Server.SendAsync(
            request =>
            {
                request.Connection.LocalIpAddress = local is null ? null : IPAddress.Parse(local);
                request.Request.Path = "/connections";
                request.Request.Method = "GET";
                request.Request.Host = new HostString(host);
            },
            Cancel);

        Assert.Equal(status, context.Response.StatusCode);
    }

    [Theory(Timeout = 120000)]
    [InlineData("10.0.0.1", "evil.example")]
    [InlineData("127.0.0.1", "")]
    public async Task Post_ByANameThatIsNotOurs_IsMisdirectedAlsoWhereReadingIsAllowed(string local, string host)
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel, "--Admin:AllowChanges=true");

        HttpContext context = await admin.Server.SendAsync(
            request =>
            {
                request.Connection.LocalIpAddress = IPAddress.Parse(local);
                request.Request.Path = "/drain";
                request.Request.Method = "POST";
                request.Request.Host = new HostString(host);
            },
            Cancel);

        Assert.Equal(421, context.Response.StatusCode);
    }

    [Theory(Timeout = 120000)]
    [InlineData("/")]
    [InlineData("/status.js")]
    [InlineData("/uPlot.js")]
    [InlineData("/connections")]
    [InlineData("/readyz")]
    [InlineData("/no-such-page")]
    public async Task Get_Anything_IsFencedIn(string path)
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);

        using HttpResponseMessage response = await admin.Client.GetAsync(new Uri(path, UriKind.Relative), Cancel);

        string policy = Assert.Single(response.Headers.GetValues("Content-Security-Policy"));
        Assert.StartsWith("default-src 'none'; script-src 'self';", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.Equal("nosniff", Assert.Single(response.Headers.GetValues("X-Content-Type-Options")));
        Assert.DoesNotContain(response.Headers, header => header.Key.StartsWith("Access-Control-", StringComparison.OrdinalIgnoreCase));
    }

    [Fact(Timeout = 120000)]
    public async Task Page_Itself_HasNoInlineScriptOrStyleAndTakesNothingFromElsewhere()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);

        string page = await GetAsync(admin, "/");
        string script = await GetAsync(admin, "/status.js");

        Assert.DoesNotMatch(InlineCode(), page);
        Assert.DoesNotContain("://", page, StringComparison.Ordinal);
        Assert.DoesNotContain("innerHTML", script, StringComparison.Ordinal);
        Assert.DoesNotContain("://", script, StringComparison.Ordinal);
        using var conditional = new HttpRequestMessage(HttpMethod.Get, "/");
        using HttpResponseMessage first = await admin.Client.GetAsync(new Uri("/", UriKind.Relative), Cancel);
        conditional.Headers.IfNoneMatch.Add(first.Headers.ETag!);
        using HttpResponseMessage second = await admin.Client.SendAsync(conditional, Cancel);
        Assert.Equal(HttpStatusCode.NotModified, second.StatusCode);
    }

    [Fact(Timeout = 120000)]
    public async Task Page_CertificatesAndUpstreams_ComeBeforeTheConnections()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        string page = await GetAsync(admin, "/");

        // On a phone each connection is a block of lines, and there are up to fifty of them.
        string[] sections = ["endpoints-title", "certificates-title", "upstreams-title", "connections-title"];
        int[] places = [.. sections.Select(section => page.IndexOf($"id=\"{section}\"", StringComparison.Ordinal))];
        Assert.Equal(places.Order(), places);
        Assert.DoesNotContain(-1, places);
    }

    [Fact(Timeout = 120000)]
    public async Task Endpoints_AfterADrain_KeepTheirCounts()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        await (await admin.ConnectAsync("echo", Cancel)).DisposeAsync();

        await admin.Services.GetRequiredService<ByteStreamServers>().DrainAsync(Cancel);

        EndpointSnapshot echo = Assert.Single(admin.Monitor.Endpoints(), endpoint => endpoint.Name == "echo");
        Assert.Equal((1L, 6L, false), (echo.Accepted, echo.BytesReceived, echo.IsServing));
    }

    private static async Task<string> GetAsync(AdminSide admin, string path) => await admin.Client.GetStringAsync(new Uri(path, UriKind.Relative), Cancel);

    private static async Task<JsonDocument> JsonAsync(AdminSide admin, string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        using HttpResponseMessage response = await admin.Client.SendAsync(request, Cancel);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal("application/json", response.Content.Headers.ContentType!.MediaType);
        return JsonDocument.Parse(await response.Content.ReadAsStringAsync(Cancel));
    }

    private static async Task<HttpResponseMessage> DeleteAsync(AdminSide admin, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Delete, $"/connections/{admin.Monitor.Connections()[0].Id}");
        foreach ((string name, string value) in headers)
        {
            request.Headers.Add(name, value);
        }

        return await admin.Client.SendAsync(request, Cancel);
    }

    [GeneratedRegex(@"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", RegexOptions.IgnoreCase)]
    private static partial Regex InlineCode();
}

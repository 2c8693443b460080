using System.Globalization;
using System.Net.Sockets;
using System.Text;
using ByteStreams.Interop.Tests;

namespace StreamsHost.Tests.Admin;

/// <summary>Health probes of load balancers against the real process, on its loopback address.</summary>
public sealed class ProbeTests : IAsyncLifetime
{
    private HostProcess? _host;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private HostProcess Host => _host!;

    private int Port => new Uri(Host.StatusAddresses[0]).Port;

    public async ValueTask InitializeAsync()
    {
        _host = HostProcess.Start();
        await Host.WaitUntilUpAsync();
    }

    [Theory(Timeout = 120000)]
    [InlineData("GET /readyz HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n")]
    [InlineData("GET /readyz HTTP/1.0\r\nHost:\r\n\r\n", "HTTP/1.1 200 OK\r\n")]
    [InlineData("GET /readyz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n")]
    [InlineData("HEAD /livez HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n")]
    [InlineData("GET /readyz HTTP/1.0\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421 Misdirected Request\r\n")]
    [InlineData("GET http://evil.example/readyz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "HTTP/1.1 421 Misdirected Request\r\n")]
    [InlineData("GET http://evil.example/readyz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n")]
    public async Task Get_WithoutAHostName_IsAnsweredAndAForeignNameIsMisdirected(string request, string status)
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", Port, Cancel);
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request), Cancel);

        using var reader = new StreamReader(stream, Encoding.ASCII);
        Assert.StartsWith(status, await reader.ReadToEndAsync(Cancel), StringComparison.Ordinal);
    }

    [Theory(Timeout = 120000)]
    [Trait("Peer", "haproxy")]
    [InlineData("option httpchk GET /readyz", "L7OK 200")]
    [InlineData("option httpchk\n    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost", "L7OK 200")]
    [InlineData("option httpchk\n    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host evil.example", "L7STS 421")]
    public async Task Httpchk_OfHAProxy_IsAnsweredAndAForeignNameIsMisdirected(string option, string expected)
    {
        string file = Path.Combine(Host.Folder, "haproxy.cfg");
        string statistics = Path.Combine(Host.Folder, "statistics.sock");
        await File.WriteAllTextAsync(
            file,
            $"""
            global
                stats socket {statistics} mode 600
            defaults
                mode http
                timeout connect 5s
                timeout client 5s
                timeout server 5s
                timeout check 60s
            backend streamshost
                {option}
                http-check expect status 200
                server one 127.0.0.1:{Port.ToString(CultureInfo.InvariantCulture)} check inter 10s rise 1 fall 1

            """,
            Cancel);
        await using Peer haproxy = Peer.Start("haproxy", "-db", "-f", file);

        // Of a check that has not ended yet the column is empty, or INI.
        string status = string.Empty;
        while (status is "" or "INI" || status.StartsWith('*'))
        {
            status = await CheckStatusAsync(statistics);
        }

        Assert.Equal(expected, status);
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is not null)
        {
            await _host.DisposeAsync();
        }
    }

    /// <summary>What HAProxy's <c>show stat</c> says of the last check; empty while it does not answer.</summary>
    private static async Task<string> CheckStatusAsync(string path)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), Cancel);
        }
        catch (SocketException)
        {
            await Task.Delay(20, Cancel);
            return string.Empty;
        }

        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync("show stat\n"u8.ToArray(), Cancel);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        string[][] rows = [.. (await reader.ReadToEndAsync(Cancel)).Split('\n').Select(line => line.TrimStart('#', ' ').Split(','))];
        string[] server = rows.Single(row => row.Length > 1 && row[1] == "one");
        return $"{server[Array.IndexOf(rows[0], "check_status")]} {server[Array.IndexOf(rows[0], "check_code")]}".Trim();
    }
}

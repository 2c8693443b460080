using System.Globalization;
using System.Net;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Hosting;

namespace ByteStreams.Interop.Tests;

/// <summary>
/// Relays before a server's Unix socket, as its users would set them up: one port that is plain, one that ends TLS, and one that is
/// plain for programs that do not speak TLS by themselves and goes on to the second one.
/// </summary>
internal sealed class RelayChain : IAsyncDisposable
{
    private readonly AuthorityFiles _authority = new();
    private readonly List<ByteStreamRelay> _relays = [];
    private readonly List<ByteStreamServer> _servers = [];

    private RelayChain()
    {
    }

    /// <summary>TCP to the Unix socket.</summary>
    public string Plain { get; private set; } = string.Empty;

    /// <summary>TLS to the Unix socket.</summary>
    public string Tls { get; private set; } = string.Empty;

    /// <summary>TCP to the relay that ends TLS.</summary>
    public string ThroughTls { get; private set; } = string.Empty;

    public string CaPath => _authority.CaPath;

    public static async Task<RelayChain> StartAsync(string socket)
    {
        var chain = new RelayChain();
        try
        {
            chain.Plain = await chain.StartAsync($"unix:{socket}", isTls: false);
            chain.Tls = await chain.StartAsync($"unix:{socket}", isTls: true);
            chain.ThroughTls = await chain.StartAsync($"tls://localhost:{chain.Tls}", isTls: false);
            return chain;
        }
        catch
        {
            await chain.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ByteStreamServer server in _servers)
        {
            server.AbortClients();
            await server.DisposeAsync().AsTask().WaitAsync(Patience.Limit);
        }

        _relays.ForEach(relay => relay.Dispose());
        _authority.Dispose();
    }

    private async Task<string> StartAsync(string upstream, bool isTls)
    {
        var relay = new ByteStreamRelay(new RelayOptions { Upstreams = { upstream }, Tls = { CaPath = CaPath } });
        _relays.Add(relay);
        var options = new ByteStreamServerOptions();
        if (isTls)
        {
            options.UseTls(tls => tls.Certificates.Add(_authority.Write("localhost")));
        }

        ByteStreamServer server = await ByteStream.StartServerAsync(relay.ServeAsync, "127.0.0.1", 0, options, TestContext.Current.CancellationToken);
        _servers.Add(server);
        return ((IPEndPoint)server.EndPoints[0]).Port.ToString(CultureInfo.InvariantCulture);
    }
}

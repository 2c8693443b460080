using System.Globalization;

namespace ByteStreams.Interop.Tests;

/// <summary>A real Redis that listens on a Unix socket alone, and its own clients through relays, over TCP and TLS.</summary>
public sealed class RedisTests : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("redis-");
    private Peer? _server;
    private RelayChain? _relays;

    private string SocketPath => Path.Combine(_folder.FullName, "redis.sock");

    public async ValueTask InitializeAsync()
    {
        _server = Peer.Start(
            "redis-server", "--port", "0", "--unixsocket", SocketPath, "--dir", _folder.FullName, "--save", string.Empty, "--appendonly", "no");
        while (!(await _server.ReadLineAsync()).Contains("ready to accept connections", StringComparison.OrdinalIgnoreCase))
        {
        }

        // Its further lines are nobody's.
        _ = _server.ReadToEndAsync();
        _relays = await RelayChain.StartAsync(SocketPath);
    }

    public async ValueTask DisposeAsync()
    {
        if (_relays is not null)
        {
            await _relays.DisposeAsync();
        }

        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _folder.Delete(recursive: true);
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("tls")]
    [InlineData("through-tls")]
    [Trait("Peer", "redis")]
    public async Task Benchmark_PipelinedThroughTheRelay_EveryKeyArrives(string kind)
    {
        await using Peer bench = Client("redis-benchmark", kind, "-t", "set,get,lpush", "-c", "50", "-n", "20000", "-P", "16", "-r", "1000", "--csv");
        string[] lines = (await bench.FinishAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(["SET", "GET", "LPUSH"], lines.Skip(1).Select(line => line.Split(',')[0].Trim('"')));
        Assert.All(lines.Skip(1), line => Assert.True(double.Parse(line.Split(',')[1].Trim('"'), CultureInfo.InvariantCulture) > 0, line));
        // 20,000 draws of 1,000 keys leave none out, and one key is the list.
        Assert.Equal("1001\n", await AskAsync("dbsize"));
        Assert.Equal("20000\n", await AskAsync("llen", "mylist"));
    }

    [Theory]
    [InlineData("plain")]
    [InlineData("tls")]
    [InlineData("through-tls")]
    [Trait("Peer", "redis")]
    public async Task Benchmark_LargeValuesAndANewConnectionForEach_AreAnswered(string kind)
    {
        await using (Peer large = Client("redis-benchmark", kind, "-t", "set,get", "-c", "8", "-n", "200", "-d", "1000000", "-q"))
        {
            await large.FinishAsync();
        }

        Assert.Equal("1000000\n", await AskAsync("strlen", "key:__rand_int__"));

        // -k 0: a connection is closed behind its answer.
        await using (Peer connecting = Client("redis-benchmark", kind, "-t", "lpush", "-c", "20", "-n", "500", "-k", "0", "-q"))
        {
            await connecting.FinishAsync();
        }

        Assert.Equal("500\n", await AskAsync("llen", "mylist"));
    }

    private Peer Client(string program, string kind, params string[] arguments)
    {
        RelayChain relays = _relays!;
        return kind switch
        {
            "plain" => Peer.Start(program, ["-h", "127.0.0.1", "-p", relays.Plain, .. arguments]),
            "tls" => Peer.Start(program, ["-h", "127.0.0.1", "-p", relays.Tls, "--tls", "--cacert", relays.CaPath, "--sni", "localhost", .. arguments]),
            _ => Peer.Start(program, ["-h", "127.0.0.1", "-p", relays.ThroughTls, .. arguments]),
        };
    }

    /// <summary>Asks the server itself, by its socket.</summary>
    private async Task<string> AskAsync(params string[] command)
    {
        await using Peer client = Peer.Start("redis-cli", ["-s", SocketPath, .. command]);
        return await client.FinishAsync();
    }
}

using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace ByteStreams.Interop.Tests;

/// <summary>A real PostgreSQL that listens on a Unix socket alone, and its own clients over TCP through relays.</summary>
public sealed class PostgresTests : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("pg-");
    private Peer? _server;
    private RelayChain? _relays;

    private RelayChain Relays => _relays!;

    private string Data => Path.Combine(_folder.FullName, "data");

    public async ValueTask InitializeAsync()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the paths of PostgreSQL's programs are Debian's");
        await GiveAwayAsync();
        await using (Peer initdb = Start("initdb", "--pgdata", Data, "--username", "relay", "--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8"))
        {
            await initdb.FinishAsync();
        }

        _server = Start("postgres", "-D", Data, "-k", _folder.FullName, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "port=5432");
        await _server.WaitForErrorAsync("database system is ready to accept connections");
        _relays = await RelayChain.StartAsync(Path.Combine(_folder.FullName, ".s.PGSQL.5432"));
    }

    public async ValueTask DisposeAsync()
    {
        if (_relays is not null)
        {
            await _relays.DisposeAsync();
        }

        if (_server is not null)
        {
            // Killed it would leave its shared memory behind.
            await _server.StopAsync("INT");
            await _server.DisposeAsync();
        }

        _folder.Delete(recursive: true);
    }

    /// <summary>psql asks for TLS by PostgreSQL's own means first, is refused, and goes on plainly, all through the relay.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Peer", "postgres")]
    public async Task Psql_LargeResultThroughTheRelay_IsTheServersOwn(bool throughTls)
    {
        const string text = "select string_agg(md5(i::text), '' order by i) from generate_series(1, 200000) i";
        await using Peer psql = Client("psql", throughTls, "-X", "-At", "-c", text, "-c", $"select md5(({text}))");
        string[] lines = (await psql.FinishAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(2, lines.Length);
        Assert.Equal(200_000 * 32, lines[0].Length);
        Assert.Equal(lines[1], Md5(lines[0]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Peer", "postgres")]
    public async Task Psql_CopiesInThroughTheRelay_NothingIsLost(bool throughTls)
    {
        string rows = string.Concat(Enumerable.Range(1, 200_000).Select(i => string.Create(CultureInfo.InvariantCulture, $"{i}\n")));
        await using Peer psql = Client(
            "psql", throughTls, "-X", "-At", "-q", "-v", "ON_ERROR_STOP=1", "-c", "create temp table t (i bigint)", "-c", "copy t from stdin",
            "-c", "select count(*), sum(i) from t");
        await psql.SendAsync(Encoding.ASCII.GetBytes(rows));

        Assert.Equal("200000|20000100000\n", await psql.FinishAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Peer", "postgres")]
    public async Task Pgbench_ThroughTheRelay_EveryTransactionIsDone(bool throughTls)
    {
        await using (Peer fill = Client("pgbench", throughTls, "--initialize", "--quiet", "--scale", "1"))
        {
            await fill.FinishAsync();
        }

        await using Peer bench = Client("pgbench", throughTls, "--client", "8", "--transactions", "50", "--no-vacuum");
        Assert.Contains("number of transactions actually processed: 400/400", await bench.FinishAsync(), StringComparison.Ordinal);

        // A new connection for each transaction.
        await using Peer connecting = Client("pgbench", throughTls, "--client", "4", "--transactions", "10", "--no-vacuum", "--select-only", "--connect");
        Assert.Contains("number of transactions actually processed: 40/40", await connecting.FinishAsync(), StringComparison.Ordinal);
    }

    private static string Program(string name) =>
        Directory.Exists("/usr/lib/postgresql")
            ? Directory.EnumerateDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin", name)).Where(File.Exists).Order().LastOrDefault(name)
            : name;

    private static string Md5(string text)
    {
#pragma warning disable CA5351 // It is the server's own function that is repeated here, and no secret.
        return Convert.ToHexStringLower(MD5.HashData(Encoding.ASCII.GetBytes(text)));
#pragma warning restore CA5351
    }

    private Peer Client(string program, bool throughTls, params string[] arguments) => Peer.Start(
        Program(program), ["--host", "127.0.0.1", "--port", throughTls ? Relays.ThroughTls : Relays.Plain, "--username", "relay", .. arguments, "postgres"]);

    /// <summary>PostgreSQL refuses to run as root.</summary>
    private static Peer Start(string program, params string[] arguments) => Environment.IsPrivilegedProcess
        ? Peer.Start("setpriv", ["--reuid=nobody", "--regid=nogroup", "--clear-groups", Installed(program), .. arguments])
        : Peer.Start(Installed(program), arguments);

    private static string Installed(string program)
    {
        string path = Program(program);
        Assert.SkipUnless(File.Exists(path), $"THE PEER IS MISSING: '{program}' of PostgreSQL is not installed, so nothing was tested against it.");
        return path;
    }

    private async Task GiveAwayAsync()
    {
        _ = Installed("initdb");
        if (Environment.IsPrivilegedProcess)
        {
            await using Peer chown = Peer.Start("chown", "nobody:nogroup", _folder.FullName);
            await chown.FinishAsync();
        }
    }
}

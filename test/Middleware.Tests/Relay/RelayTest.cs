using System.Net;
using System.Net.Sockets;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>A relay between clients and upstreams, each over TCP, TLS or a Unix socket.</summary>
public abstract class RelayTest : ServedTest
{
    private int _sockets;

    protected RelayTest()
    {
        Authority = Own(new AuthorityFiles());
        Own(new Folder(FolderPath));
    }

    private protected AuthorityFiles Authority { get; }

    private protected string FolderPath { get; } = Directory.CreateTempSubdirectory("relay-").FullName;

    private protected FakeLogCollector Log { get; } = new();

    private protected async Task<string> ServeUpstreamAsync(
        string kind, ByteStreamDelegate handler, string? path = null, Action<ByteStreamServerOptions>? surround = null)
    {
        var options = new ByteStreamServerOptions();
        surround?.Invoke(options);
        EndPoint endPoint = await StartAsync(kind, handler, options, path);
        return kind == "unix" ? $"unix:{endPoint}" : $"{kind}://{(kind == "tls" ? "localhost" : "127.0.0.1")}:{((IPEndPoint)endPoint).Port}";
    }

    private protected Task<EndPoint> RelayAsync(string kind, Action<RelayOptions> configure, Action<ByteStreamServer>? started = null, Action<TlsServerOptions>? tls = null)
    {
        ILoggerFactory loggers = LoggerFactory.Create(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(Log)));
        var relayOptions = new RelayOptions { Tls = { CaPath = Authority.CaPath } };
        configure(relayOptions);
        ByteStreamRelay relay = Own(new ByteStreamRelay(relayOptions, loggers));
        var options = new ByteStreamServerOptions { Name = "relay", LoggerFactory = loggers };
        options.UseTelemetry();
        return StartAsync(kind, relay.ServeAsync, options, null, started, tls);
    }

    /// <summary>A relay that leaves a connection after a second in which nothing moved.</summary>
    private protected async Task<(EndPoint EndPoint, ByteStreamServer Server)> StoppableRelayAsync(string url, TimeProvider time, Action<RelayOptions>? configure = null)
    {
        ByteStreamServer? server = null;
        EndPoint endPoint = await RelayAsync(
            "tcp",
            relay =>
            {
                relay.DrainQuiet = TimeSpan.FromSeconds(1);
                relay.Upstreams.Add(url);
                relay.Connection.TimeProvider = time;
                configure?.Invoke(relay);
            },
            started => server = started);
        return (endPoint, server!);
    }

    private protected async Task<EndPoint> StartAsync(
        string kind, ByteStreamDelegate handler, ByteStreamServerOptions options, string? path, Action<ByteStreamServer>? started = null,
        Action<TlsServerOptions>? configureTls = null)
    {
        if (kind == "tls")
        {
            options.UseTls(tls =>
            {
                tls.Certificates.Add(Authority.Write("localhost"));
                configureTls?.Invoke(tls);
            });
        }

        EndPoint place = kind == "unix"
            ? new UnixDomainSocketEndPoint(path ?? Path.Combine(FolderPath, $"{Interlocked.Increment(ref _sockets)}.sock"))
            : new IPEndPoint(IPAddress.Loopback, 0);
        ByteStreamServer server = await ByteStream.StartServerAsync(handler, place, options, Soon);
        Own((IAsyncDisposable)server);
        started?.Invoke(server);
        return server.EndPoints[0];
    }

    private protected async Task<ByteStreamConnection> ConnectAsync(string kind, EndPoint endPoint)
    {
        var options = new ByteStreamClientOptions();
        if (kind == "tls")
        {
            options.Tls = new TlsClientOptions { CaPath = Authority.CaPath, ServerName = "localhost" }.CreateAuthenticationOptions();
        }

        ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(endPoint, options, Soon);
        Own((IAsyncDisposable)connection);
        return connection;
    }

    private protected async Task AssertResetAsync(ByteStreamConnection connection) =>
        await Assert.ThrowsAsync<ConnectionResetException>(async () => await connection.Reader.ReadExactlyAsync(1, Soon));

    private protected async Task AssertEndedAsync(string reason)
    {
        await Patience.UntilAsync(() => Log.GetSnapshot().Any(record => record.Id.Id == 700));
        Assert.Contains($"ended: {reason}.", Assert.Single(Log.GetSnapshot(), record => record.Id.Id == 700).Message, StringComparison.Ordinal);
    }

    private protected async Task AdvanceUntilAsync(FakeTimeProvider time, Func<bool> condition)
    {
        while (!condition())
        {
            time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Delay(2, Soon);
        }
    }

    private sealed class Folder(string path) : IDisposable
    {
        public void Dispose() => Directory.Delete(path, recursive: true);
    }
}

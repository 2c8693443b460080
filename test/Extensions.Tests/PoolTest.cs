using System.Collections.Concurrent;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Extensions.Tests;

/// <summary>A service that answers each frame with the same frame, and an application with a client of it.</summary>
public abstract class PoolTest : IAsyncDisposable
{
    protected static readonly Framing Frames = Framing.Varint();

    private readonly List<IAsyncDisposable> _owned = [];

    protected static CancellationToken Test => TestContext.Current.CancellationToken;

    protected FakeTimeProvider Time { get; } = new();

    protected FakeLogCollector Log { get; } = new();

    /// <summary>The connections that the service has accepted, the last one last.</summary>
    protected ConcurrentQueue<ByteStreamWriter> Accepted { get; } = new();

    public virtual async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable owned in Enumerable.Reverse(_owned))
        {
            await owned.DisposeAsync();
        }

        GC.SuppressFinalize(this);
    }

    protected async Task<ByteStreamServer> StartAsync(ByteStreamDelegate? handler = null, ByteStreamServerOptions? options = null)
    {
        ByteStreamServer server = await ByteStream.StartServerAsync(handler ?? EchoAsync, "127.0.0.1", 0, options, Test);
        _owned.Add(server);
        return server;
    }

    protected async Task EchoAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        Accepted.Enqueue(writer);
        while (await reader.ReadFrameAsync(Frames, stopping) is byte[] frame)
        {
            writer.WriteFrame(Frames, frame);
            await writer.DrainAsync(stopping);
        }
    }

    protected static string Url(ByteStreamServer server) => $"tcp://{server.EndPoints[0]}";

    /// <summary>The provider of an application with the client "echo".</summary>
    protected ServiceProvider Provide(
        string? url, Action<ByteStreamClientBuilder>? configure = null, IEnumerable<KeyValuePair<string, string?>>? configuration = null, TimeProvider? time = null)
    {
        var services = new ServiceCollection();
        services.AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection(configuration ?? []).Build());
        services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Debug).AddProvider(new FakeLoggerProvider(Log)));
        services.AddSingleton(time ?? Time);
        ByteStreamClientBuilder builder = services.AddByteStreamClient<EchoClient>("echo", url);
        configure?.Invoke(builder);
        ServiceProvider provider = services.BuildServiceProvider(validateScopes: true);
        _owned.Add(provider);
        return provider;
    }

    protected ByteStreamPool Pool(string? url, Action<ByteStreamClientBuilder>? configure = null, TimeProvider? time = null) =>
        Provide(url, configure, time: time).GetRequiredKeyedService<ByteStreamPool>("echo");

    protected static Task<byte[]> AskAsync(ByteStreamPool pool, byte[] request) => new EchoClient(pool).AskAsync(request);

    /// <summary>A typed client.</summary>
    internal sealed class EchoClient(ByteStreamPool pool)
    {
        public Task<byte[]> AskAsync(byte[] request, CancellationToken cancellationToken = default) => pool.ExecuteAsync(
            request,
            static async (connection, request, token) =>
            {
                connection.Writer.WriteFrame(Frames, request);
                return await connection.Reader.ReadFrameAsync(Frames, token) ?? throw new EndOfStreamException("The service closed the connection.");
            },
            cancellationToken);
    }
}

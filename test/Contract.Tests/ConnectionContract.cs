using System.Net;
using System.Net.Security;
using System.Text;
using ByteStreams.Testing;

namespace ByteStreams.Contract.Tests;

/// <summary>What every connection does, whatever carries it. Each medium is one subclass, and runs every test.</summary>
public abstract partial class ConnectionContract : IAsyncLifetime
{
    private readonly CancellationTokenSource _deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly List<IAsyncDisposable> _owned = [];

    /// <summary>What is demanded of everybody's connections, users' own included (W1 to W8, W13, W14).</summary>
    public static TheoryData<string> PublicCases => [.. StreamContract.Cases];

    protected ConnectionContract() => _deadline.CancelAfter(TimeSpan.FromSeconds(45));

    /// <summary>No await of a test lasts longer than this.</summary>
    protected CancellationToken Soon => _deadline.Token;

    /// <summary>An address that nobody else listens on.</summary>
    protected abstract EndPoint NewEndPoint();

    /// <summary>Runs of what must hold every time.</summary>
    protected virtual int Runs => 20;

    /// <summary>What drives the sockets of both sides.</summary>
    protected virtual ByteStreamEngine Engine => ByteStreamEngine.Default;

    /// <summary>The TLS of the medium, if it has any.</summary>
    protected virtual SslServerAuthenticationOptions? ServerTls => null;

    protected virtual SslClientAuthenticationOptions? ClientTls => null;

    /// <summary>What surrounds the handler.</summary>
    protected virtual void Surround(ByteStreamServerOptions options)
    {
    }

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable owned in Enumerable.Reverse(_owned))
        {
            await owned.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));
        }

        Cleanup();
        _deadline.Dispose();
        GC.SuppressFinalize(this);
    }

    protected virtual void Cleanup()
    {
    }

    protected static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    protected static string Text(byte[] bytes) => Encoding.Latin1.GetString(bytes);

    /// <summary>Bytes in which no part looks like another.</summary>
    protected static byte[] Pattern(int length, int seed = 1)
    {
        byte[] pattern = new byte[length];
        new Random(seed).NextBytes(pattern);
        return pattern;
    }

    protected static IByteStreamTransportFeature LinkOf(ByteStreamWriter writer) =>
        writer.Transport!.Features.Get<IByteStreamTransportFeature>()!;

    [Theory, MemberData(nameof(PublicCases)), Trait("Contract", "W14"), Trait("Fault", "F15")]
    public Task Connection_KeepsThePublicContract(string name) => new PublicContract(this).RunAsync(name, Soon);

    /// <summary>Starts a server with a handler of the test's own.</summary>
    protected async Task<ByteStreamServer> ServeAsync(ByteStreamDelegate handler, Action<ByteStreamServerOptions>? configure = null)
    {
        var options = new ByteStreamServerOptions { Tls = ServerTls, Engine = Engine };
        Surround(options);
        configure?.Invoke(options);
        ByteStreamServer server = await ByteStream.StartServerAsync(handler, NewEndPoint(), options, Soon);
        _owned.Add(new Stop(server));
        return server;
    }

    protected async Task<ByteStreamConnection> OpenAsync(ByteStreamServer server, Action<ByteStreamClientOptions>? configure = null)
    {
        var options = new ByteStreamClientOptions { Tls = ClientTls, Engine = Engine, LingerTimeout = TimeSpan.FromMilliseconds(200) };
        configure?.Invoke(options);
        return await ByteStream.OpenConnectionAsync(server.EndPoints[0], options, Soon);
    }

    /// <summary>Makes a connected pair: a client, and a handler's reader and writer in the hands of the test.</summary>
    protected async Task<Link> ConnectAsync(
        Action<ByteStreamServerOptions>? server = null, Action<ByteStreamClientOptions>? client = null)
    {
        var connected = new TaskCompletionSource<(ByteStreamReader, ByteStreamWriter)>(TaskCreationOptions.RunContinuationsAsynchronously);
        var finish = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        ByteStreamServer listening = await ServeAsync(
            (reader, writer, _) =>
            {
                connected.SetResult((reader, writer));
                return finish.Task;
            },
            options =>
            {
                options.LingerTimeout = TimeSpan.FromMilliseconds(500);
                server?.Invoke(options);
            });
        ByteStreamConnection opened = await OpenAsync(listening, client);
        (ByteStreamReader reader, ByteStreamWriter writer) = await connected.Task.WaitAsync(Soon);
        var link = new Link(opened, reader, writer, finish);
        _owned.Add(link);
        return link;
    }

    /// <summary>Writes and drains until a drain waits, which means that every buffer on the way to a peer that does not read is full.</summary>
    protected async Task<Task> FillAsync(ByteStreamWriter writer)
    {
        byte[] block = new byte[65536];
        while (true)
        {
            writer.Write(block);
            Task drain = writer.DrainAsync(Soon).AsTask();
            // What the kernel takes a moment later is no wait.
            if (await Task.WhenAny(drain, Task.Delay(100, Soon)) != drain)
            {
                return drain;
            }

            await drain;
        }
    }

    protected async Task<long> DiscardAsync(ByteStreamReader reader)
    {
        byte[] buffer = new byte[65536];
        long total = 0;
        while (await reader.ReadAsync(buffer, Soon) is > 0 and int count)
        {
            total += count;
        }

        return total;
    }

    /// <summary>A connected pair. What the test leaves open is aborted.</summary>
    protected sealed class Link(
        ByteStreamConnection client, ByteStreamReader reader, ByteStreamWriter writer, TaskCompletionSource handler) : IAsyncDisposable
    {
        private readonly IByteStreamTransportFeature _server = LinkOf(writer);
        private readonly IByteStreamTransportFeature _client = LinkOf(client.Writer);

        /// <summary>The client's end.</summary>
        public ByteStreamConnection Client => client;

        /// <summary>The handler's reader.</summary>
        public ByteStreamReader Reader => reader;

        /// <summary>The handler's writer.</summary>
        public ByteStreamWriter Writer => writer;

        public IByteStreamTransportFeature ServerLink => _server;

        public IByteStreamTransportFeature ClientLink => _client;

        /// <summary>The handler returns.</summary>
        public void Return() => handler.TrySetResult();

        /// <summary>The handler throws.</summary>
        public void Throw(Exception error) => handler.TrySetException(error);

        public async ValueTask DisposeAsync()
        {
            client.Writer.Abort();
            writer.Abort();
            handler.TrySetResult();
            await client.DisposeAsync();
        }
    }

    private sealed class PublicContract(ConnectionContract medium) : StreamContract
    {
        protected override async Task<StreamPair> ConnectAsync(CancellationToken cancellationToken)
        {
            Link link = await medium.ConnectAsync();
            return new StreamPair((link.Client.Reader, link.Client.Writer), (link.Reader, link.Writer));
        }
    }

    private sealed class Stop(ByteStreamServer server) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            server.Close();
            server.AbortClients();
            await server.DisposeAsync();
        }
    }
}

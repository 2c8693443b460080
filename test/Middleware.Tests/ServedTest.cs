using System.Net;
using System.Net.Sockets;
using System.Text;
using ByteStreams.Testing;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Middleware.Tests;

/// <summary>Tests of what surrounds a connection: servers, clients and their end.</summary>
public abstract class ServedTest : IAsyncLifetime
{
    private readonly CancellationTokenSource _deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private readonly List<IAsyncDisposable> _owned = [];
    private readonly List<IDisposable> _held = [];

    protected ServedTest() => _deadline.CancelAfter(TimeSpan.FromSeconds(60));

    public static TheoryData<Carrier> Carriers => [Carrier.Own, Carrier.Stock];

    /// <summary>No await of a test lasts longer than this.</summary>
    protected CancellationToken Soon => _deadline.Token;

    /// <summary>For a test that keeps every core busy by itself.</summary>
    protected void TakeTime(TimeSpan time) => _deadline.CancelAfter(time);

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable owned in Enumerable.Reverse(_owned))
        {
            try
            {
                await owned.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(60));
            }
            catch (TimeoutException late)
            {
                string open = owned is Served served
                    ? string.Join(", ", served.Metrics.Endpoints.Select(endpoint => $"{endpoint.Name}: {endpoint.Active} open, {endpoint.Handshakes} handshakes"))
                    : owned is ByteStreamConnection connection ? $"reader {connection.Reader}, closing {connection.Writer.IsClosing}"
                    : string.Empty;
                throw new TimeoutException($"{owned.GetType().Name} {_owned.IndexOf(owned)} of {_owned.Count} did not end: {open}", late);
            }
        }

        _held.ForEach(held => held.Dispose());
        _deadline.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Disposes something when the test is over, behind servers and clients.</summary>
    protected T Own<T>(T held)
        where T : IDisposable
    {
        _held.Add(held);
        return held;
    }

    /// <summary>Sends every line back.</summary>
    protected static async Task Echo(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            writer.Write(line);
            await writer.DrainAsync(stopping);
        }
    }

    protected static string Text(byte[] bytes) => Encoding.Latin1.GetString(bytes);

    /// <summary>What goes with the test, the last one first.</summary>
    protected void Own(IAsyncDisposable owned) => _owned.Add(owned);

    private protected async Task<Served> ServeAsync(
        Carrier carrier, Action<IConnectionBuilder> surround, ByteStreamDelegate handler, TimeProvider? time = null, EndPoint? endPoint = null,
        Action<IServiceCollection>? configure = null)
    {
        Served served = await Served.StartAsync(carrier, surround, handler, time, endPoint, configure);
        _owned.Add(served);
        return served;
    }

    private protected Task<ByteStreamConnection> ConnectAsync(Served served, Action<ByteStreamClientOptions>? configure = null) =>
        ConnectAsync(served.EndPoint, configure);

    protected async Task<ByteStreamConnection> ConnectAsync(EndPoint endPoint, Action<ByteStreamClientOptions>? configure = null)
    {
        var options = new ByteStreamClientOptions();
        configure?.Invoke(options);
        ByteStreamConnection connection = await ByteStream.OpenConnectionAsync(endPoint, options, Soon);
        _owned.Add(connection);
        return connection;
    }

    /// <summary>Sends a text, and reads a line.</summary>
    protected async Task<string> AskAsync(ByteStreamConnection connection, string text)
    {
        connection.Writer.Write(Encoding.Latin1.GetBytes(text));
        await connection.Writer.DrainAsync(Soon);
        return Text(await connection.Reader.ReadLineAsync(Soon));
    }

    /// <summary>A connection that nobody serves ends before a byte has come: by a reset, which the connect itself may meet, where the medium has one.</summary>
    protected async Task AssertRefusedAsync(EndPoint endPoint)
    {
        Exception? end = await Record.ExceptionAsync(async () =>
        {
            ByteStreamConnection connection = await ConnectAsync(endPoint);
            await connection.Reader.ReadExactlyAsync(1, Soon);
        });

        bool isReset = end is ConnectionResetException or SocketException { SocketErrorCode: SocketError.ConnectionReset };
        Assert.True(endPoint is UnixDomainSocketEndPoint ? end is IncompleteReadException : isReset, $"It was {end?.GetType().Name ?? "served"}.");
    }

    /// <summary>A port that refuses connections as long as the test runs.</summary>
    protected int RefusingPort()
    {
        int port = Ports.Refusing(out Socket holder);
        Own(holder);
        return port;
    }
}

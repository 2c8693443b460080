using System.Net;
using ByteStreams.Admission;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;

namespace ByteStreams.Middleware.Tests.Hosting;

/// <summary>A host whose configuration changes on demand, with a connection to the endpoint <c>quiet</c>.</summary>
internal sealed class ReloadedHost : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly IHost _host;
    private readonly MutableSource _source;
    private readonly ByteStreamServer _quiet;
    private readonly ByteStreamConnection _canary;

    private ReloadedHost(IHost host, MutableSource source, FakeLogCollector log, ByteStreamConnection canary)
    {
        _host = host;
        _source = source;
        _quiet = Servers["quiet"];
        _canary = canary;
        Log = log;
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public FakeLogCollector Log { get; }

    public ConnectionTotal Total => _host.Services.GetRequiredService<ConnectionTotal>();

    public ByteStreamServers Servers => _host.Services.GetRequiredService<ByteStreamServers>();

    public static async Task<ReloadedHost> StartAsync(params (string Endpoint, string Key, string? Value)[] settings)
    {
        var log = new FakeLogCollector();
        var source = new MutableSource();
        source.Change([("ByteStreams:Endpoints:quiet:Url", "tcp://127.0.0.1:0"), ("ByteStreams:Endpoints:quiet:Handler", "echo"), .. Paths(settings)]);
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.SetMinimumLevel(LogLevel.Information).AddProvider(new FakeLoggerProvider(log));
        builder.Configuration.Sources.Add(source);
        builder.Services.AddByteStreams()
            .AddHandler("echo", (reader, writer, stopping) => AnswerAsync(reader, writer, line => line, stopping))
            .AddHandler("shout", (reader, writer, stopping) => AnswerAsync(reader, writer, line => line.ToUpperInvariant(), stopping))
            .AddHandler("stubborn", (reader, writer, stopping) => AnswerAsync(reader, writer, line => line, CancellationToken.None))
            .AddHandler("limit", (reader, writer, stopping) => AnswerAsync(reader, writer, _ => $"{reader.Limit}", stopping))
            .LoadFromConfig(builder.Configuration.GetSection("ByteStreams"));
        IHost host = builder.Build();
        await host.StartAsync(Cancel);
        EndPoint quiet = host.Services.GetRequiredService<ByteStreamServers>()["quiet"].EndPoints[0];
        var running = new ReloadedHost(host, source, log, await ByteStream.OpenConnectionAsync(quiet, cancellationToken: Cancel));
        await running.IsUndisturbedAsync();
        return running;
    }

    public Task<ByteStreamConnection> ConnectAsync(string endpoint) =>
        ByteStream.OpenConnectionAsync(Servers[endpoint].EndPoints[0], cancellationToken: Cancel).WaitAsync(Deadline, Cancel);

    /// <summary>Changes keys of endpoints, and of the whole section where no endpoint is named; null takes one away.</summary>
    public void Change(params (string Endpoint, string Key, string? Value)[] settings) => _source.Change([.. Paths(settings)]);

    /// <summary>Does something behind the next reading of a key.</summary>
    public void AtNextReading(string endpoint, string key, Action action) => _source.AtNextReading($"ByteStreams:Endpoints:{endpoint}:{key}", action);

    /// <summary>A change may still be on its way: new connections see it soon.</summary>
    public async Task AnswersInTheEndAsync(string endpoint, string line, string expected)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        late.CancelAfter(Deadline);
        string? answer;
        do
        {
            await using ByteStreamConnection client = await ConnectAsync(endpoint);
            client.Writer.Write(line + "\n");
            answer = await client.Reader.ReadTextLineAsync(cancellationToken: late.Token);
        }
        while (answer != expected);
    }

    /// <summary>Waits for a number of log lines of one event.</summary>
    public Task WaitForAsync(int id, int count = 1) => Patience.UntilAsync(
        () => Log.GetSnapshot().Count(record => record.Id.Id == id) >= count,
        observed: () => string.Join(Environment.NewLine, Log.GetSnapshot().Select(record => record.Message)),
        limit: Deadline,
        awaited: $"{count} lines of log event {id}");

    public string Last(int id) => Log.GetSnapshot().Last(record => record.Id.Id == id).Message;

    /// <summary>The connection to the endpoint that nobody touches is served as it was from the begin.</summary>
    public async Task IsUndisturbedAsync()
    {
        Assert.Same(_quiet, Servers["quiet"]);
        await AnswersAsync(_canary, "still there?", "still there?");
    }

    /// <summary>Sends a line and expects another.</summary>
    public static async Task AnswersAsync(ByteStreamConnection connection, string line, string answer)
    {
        connection.Writer.Write(line + "\n");
        Assert.Equal(answer, await connection.Reader.ReadTextLineAsync(cancellationToken: Cancel).AsTask().WaitAsync(Deadline, Cancel));
    }

    public async ValueTask DisposeAsync()
    {
        await _canary.DisposeAsync();
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _host.StopAsync(deadline.Token);
        _host.Dispose();
    }

    private static IEnumerable<(string, string?)> Paths(IEnumerable<(string Endpoint, string Key, string? Value)> settings) =>
        settings.Select(setting => (
            setting.Endpoint.Length == 0 ? $"ByteStreams:{setting.Key}" : $"ByteStreams:Endpoints:{setting.Endpoint}:{setting.Key}", setting.Value));

    private static async Task AnswerAsync(ByteStreamReader reader, ByteStreamWriter writer, Func<string, string> answer, CancellationToken stopping)
    {
        while (await reader.ReadTextLineAsync(cancellationToken: stopping) is string line)
        {
            writer.Write(answer(line) + "\n");
            await writer.DrainAsync(stopping);
        }
    }
}

using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;

namespace ByteStreams.Http.Tests;

/// <summary>SignalR by its JSON protocol, over each of its transports.</summary>
public class SignalRTests : HttpTest
{
    private const char End = '\x1e';
    private const string Handshake = "{\"protocol\":\"json\",\"version\":1}\x1e";
    private const string Invocation = "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Double\",\"arguments\":[21]}\x1e";
    private const string Completion = "{\"type\":3,\"invocationId\":\"1\",\"result\":42}";

    private readonly Clients _clients = new();

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task Hub_OverWebSockets_AnswersAndNoticesThatTheClientVanished(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint);
        using HttpClient http = application.CreateClient();
        using var client = new ClientWebSocket();
        await client.ConnectAsync(new Uri(application.IsTls ? "wss://localhost/hub" : "ws://localhost/hub"), http, Soon);

        await SendAsync(client, Handshake);
        Assert.Equal("{}", await ReceiveAsync(client));
        await SendAsync(client, Invocation);
        Assert.Equal(Completion, await ReceiveAsync(client));
        client.Abort();

        await _clients.Left.Task.WaitAsync(Soon);
        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task Hub_OverServerSentEvents_AnswersAndNoticesThatTheClientVanished(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint);
        using HttpClient http = application.CreateClient();
        string id = await NegotiateAsync(http);
        using RawClient events = await ConnectAsync(application);
        await events.SendAsync($"GET /hub?id={id} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        Assert.Contains("Content-Type: text/event-stream", await events.ReadHeadAsync(), StringComparison.Ordinal);

        await PostAsync(http, id, Handshake);
        Assert.Contains("{}", await ReadUntilAsync(events, End), StringComparison.Ordinal);
        await PostAsync(http, id, Invocation);
        Assert.Contains(Completion, await ReadUntilAsync(events, End), StringComparison.Ordinal);
        await events.LeaveAsync(Departure.Close);

        await _clients.Left.Task.WaitAsync(Soon);
        await application.Web.StopAsync(Soon);
        Assert.Empty(application.Warnings);
    }

    [Theory(Timeout = 120000), MemberData(nameof(Endpoints))]
    public async Task Hub_OverLongPolling_Answers(TestedTransport transport, Endpoint endpoint)
    {
        await using Application application = await StartAsync(transport, endpoint);
        using HttpClient http = application.CreateClient();
        string id = await NegotiateAsync(http);
        // The first poll opens the transport and returns nothing.
        Assert.Empty(await http.GetStringAsync($"/hub?id={id}", Soon));

        await PostAsync(http, id, Handshake);
        Assert.Equal("{}\x1e", await http.GetStringAsync($"/hub?id={id}", Soon));
        Task<string> poll = http.GetStringAsync($"/hub?id={id}", Soon);
        await PostAsync(http, id, Invocation);

        Assert.Contains(Completion, await poll, StringComparison.Ordinal);
    }

    private Task<Application> StartAsync(TestedTransport transport, Endpoint endpoint) => Application.StartAsync(
        transport,
        endpoint,
        web => web.MapHub<Doubling>("/hub"),
        configure: builder =>
        {
            builder.Services.AddSignalR();
            builder.Services.AddSingleton(_clients);
        });

    private async Task<string> NegotiateAsync(HttpClient http)
    {
        using HttpResponseMessage answer = await http.PostAsync("/hub/negotiate?negotiateVersion=1", null, Soon);
        using JsonDocument json = JsonDocument.Parse(await answer.Content.ReadAsStringAsync(Soon));
        return json.RootElement.GetProperty("connectionToken").GetString()!;
    }

    private async Task PostAsync(HttpClient http, string id, string message)
    {
        using var content = new StringContent(message);
        using HttpResponseMessage answer = await http.PostAsync($"/hub?id={id}", content, Soon);
        answer.EnsureSuccessStatusCode();
    }

    private async Task SendAsync(ClientWebSocket client, string message) =>
        await client.SendAsync(Encoding.UTF8.GetBytes(message), WebSocketMessageType.Text, true, Soon);

    private async Task<string> ReceiveAsync(ClientWebSocket client)
    {
        var some = new byte[1000];
        WebSocketReceiveResult result = await client.ReceiveAsync(some, Soon);
        return Encoding.UTF8.GetString(some, 0, result.Count).TrimEnd(End);
    }

    private static async Task<string> ReadUntilAsync(RawClient client, char end)
    {
        var read = new StringBuilder();
        while (read.Length == 0 || read[^1] != end)
        {
            read.Append((char)(await client.ReadExactlyAsync(1))[0]);
        }

        return read.ToString();
    }

    private sealed class Clients
    {
        public int Factor { get; } = 2;

        public TaskCompletionSource Left { get; } = Signal();
    }

    private sealed class Doubling(Clients clients) : Hub
    {
        public int Double(int number) => clients.Factor * number;

        public override Task OnDisconnectedAsync(Exception? exception)
        {
            clients.Left.SetResult();
            return Task.CompletedTask;
        }
    }
}

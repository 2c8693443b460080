using System.Text.Json;
using System.Threading.Channels;
using ByteStreams;
using Microsoft.Extensions.Time.Testing;
using StreamsHost.Admin;
using StreamsHost.Tests.Admin;

namespace StreamsHost.Tests.Status;

/// <summary>One look a second, for as many as watch, and none for nobody.</summary>
public class StatusSamplerTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact(Timeout = 120000)]
    public async Task Watch_ConnectionComesAndGoes_IsInTheSamples()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        using var sampler = new StatusSampler(admin.Monitor, _time);
        Channel<ReadOnlyMemory<byte>> samples = sampler.Watch(out _)!;
        Assert.Equal(0, Read(samples).GetProperty("total")[0].GetInt32());

        ByteStreamConnection connection = await admin.ConnectAsync("echo", Cancel);
        string id = admin.Monitor.Connections()[0].Id;
        _time.Advance(Second);
        JsonElement open = Read(samples);
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        admin.Monitor.ConnectionEnded += _ => ended.TrySetResult();
        await connection.DisposeAsync();
        await ended.Task.WaitAsync(Cancel);
        _time.Advance(Second);
        JsonElement gone = Read(samples);

        Assert.Equal([1, 1, 0, 6, 6], open.GetProperty("endpoints").GetProperty("echo").EnumerateArray().Select(count => count.GetInt32()));
        Assert.Equal([1, 1, 0, 6, 6], open.GetProperty("total").EnumerateArray().Select(count => count.GetInt32()));
        Assert.Empty(open.GetProperty("ended").EnumerateArray());
        JsonElement end = Assert.Single(gone.GetProperty("ended").EnumerateArray());
        Assert.Equal((id, "closed_by_peer"), (end.GetProperty("id").GetString(), end.GetProperty("closeReason").GetString()));
        Assert.Equal(0, gone.GetProperty("total")[0].GetInt32());
        Assert.Equal(1000, gone.GetProperty("time").GetInt64() - open.GetProperty("time").GetInt64());
    }

    [Fact(Timeout = 120000)]
    public async Task Watch_NoWatcherIsLeft_StopsSampling()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        using var sampler = new StatusSampler(admin.Monitor, _time);
        Channel<ReadOnlyMemory<byte>> first = sampler.Watch(out _)!;
        Channel<ReadOnlyMemory<byte>> second = sampler.Watch(out ReadOnlyMemory<byte> history)!;
        Assert.Single(Samples(history));

        sampler.Leave(first);
        _time.Advance(Second);
        Assert.Equal(1, second.Reader.Count);
        sampler.Leave(second);
        _time.Advance(Second * 10);
        sampler.Watch(out history);

        // The first, the one a second later, and the one of whoever came back.
        Assert.Equal([0L, 1000L, 11000L], Samples(history).Select(sample => sample.GetProperty("time").GetInt64() - new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds()));
    }

    [Fact(Timeout = 120000)]
    public async Task Watch_ForAnHour_KeepsFiveMinutes()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        using var sampler = new StatusSampler(admin.Monitor, _time);
        Channel<ReadOnlyMemory<byte>> slow = sampler.Watch(out _)!;
        for (int i = 0; i < 3600; i++)
        {
            _time.Advance(Second);
        }

        sampler.Watch(out ReadOnlyMemory<byte> history);

        Assert.Equal(StatusSampler.Kept, Samples(history).Count);
        Assert.InRange(slow.Reader.Count, 1, 4);
    }

    [Fact(Timeout = 120000)]
    public async Task Watch_MoreThanThereIsRoomFor_IsRefused()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        using var sampler = new StatusSampler(admin.Monitor, _time);
        var watchers = Enumerable.Range(0, StatusSampler.MostWatchers).Select(_ => sampler.Watch(out ReadOnlyMemory<byte> _)).ToList();

        Assert.DoesNotContain(null, watchers);
        Assert.Null(sampler.Watch(out _));
        sampler.Leave(watchers[0]!);
        Assert.NotNull(sampler.Watch(out _));
    }

    [Fact(Timeout = 120000)]
    public async Task Events_OverHttp_AreTheHistoryAndThenSamples()
    {
        await using AdminSide admin = await AdminSide.StartAsync(Cancel);
        using HttpResponseMessage response = await admin.Client.GetAsync(new Uri("/events", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, Cancel);
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(Cancel));

        Assert.Equal("text/event-stream", response.Content.Headers.ContentType!.MediaType);
        Assert.Equal("event: history", await reader.ReadLineAsync(Cancel));
        Assert.StartsWith("data: {\"samples\":[{", await reader.ReadLineAsync(Cancel), StringComparison.Ordinal);
        Assert.Equal(string.Empty, await reader.ReadLineAsync(Cancel));
        Assert.Equal("event: sample", await reader.ReadLineAsync(Cancel));
    }

    private static JsonElement Read(Channel<ReadOnlyMemory<byte>> samples)
    {
        Assert.True(samples.Reader.TryRead(out ReadOnlyMemory<byte> sample));
        return JsonDocument.Parse(sample).RootElement;
    }

    private static List<JsonElement> Samples(ReadOnlyMemory<byte> history) => [.. JsonDocument.Parse(history).RootElement.GetProperty("samples").EnumerateArray()];
}

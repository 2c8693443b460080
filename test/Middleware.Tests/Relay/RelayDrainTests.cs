using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Relay;

/// <summary>A server that stops while its relay has connections.</summary>
public sealed class RelayDrainTests : RelayTest
{
    [Fact]
    public async Task Stop_ConnectionIsQuiet_EndsCleanlyAndABusyOneGoesOn()
    {
        string url = await ServeUpstreamAsync("tcp", Echo);
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection quiet = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", await AskAsync(quiet, "1\n"));
        ByteStreamConnection busy = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", await AskAsync(busy, "1\n"));

        Task stopping = server.StopAsync(Soon);
        Task<byte[]> end = quiet.Reader.ReadAsync(cancellationToken: Soon).AsTask();
        int answers = 0;
        while (!end.IsCompleted)
        {
            Assert.Equal("2\n", await AskAsync(busy, "2\n"));
            answers++;
            time.Advance(TimeSpan.FromMilliseconds(100));
        }

        Assert.Empty(await end);
        Assert.True(answers > 0);
        Assert.Equal("3\n", await AskAsync(busy, "3\n"));
        busy.Writer.WriteEof();
        Assert.Empty(await busy.Reader.ReadAsync(cancellationToken: Soon));
        quiet.Writer.Close();
        busy.Writer.Close();
        await stopping.WaitAsync(Soon);
        Assert.DoesNotContain(Log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Stop_AnswerHasNotBegun_IsWaitedForAndDelivered()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var answers = new TaskCompletionSource();
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write("hello\n");
            byte[] request = await reader.ReadLineAsync(stopping);
            asked.SetResult();
            await answers.Task.WaitAsync(stopping);
            writer.Write(request);
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        Assert.Equal("hello\n", Text(await client.Reader.ReadLineAsync(Soon)));
        client.Writer.Write("think\n");
        await asked.Task.WaitAsync(Soon);

        Task<DrainReport> stopping = server.StopAsync(Timeout.InfiniteTimeSpan, Soon);
        Task<byte[]> answer = client.Reader.ReadLineAsync(Soon).AsTask();
        for (int i = 0; i < 100; i++)
        {
            // Twenty seconds, of which DrainQuiet is one; the real time lets what is due be done.
            time.Advance(TimeSpan.FromMilliseconds(200));
            await Task.Delay(2, Soon);
        }

        Assert.False(answer.IsCompleted);
        answers.SetResult();
        Assert.Equal("think\n", Text(await answer));
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
        client.Writer.Close();
        Assert.True((await stopping.WaitAsync(Soon)).IsClean);
    }

    [Fact]
    public async Task Stop_DrainWaitsForAnswerIsOff_EndsCleanlyAfterDrainQuiet()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var end = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync("tcp", async (reader, _, stopping) =>
        {
            await reader.ReadLineAsync(stopping);
            asked.SetResult();
            end.SetResult(await reader.ReadAsync(cancellationToken: stopping));
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time, relay => relay.DrainWaitsForAnswer = false);
        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        client.Writer.Write("a line of a log\n");
        await asked.Task.WaitAsync(Soon);

        Task<DrainReport> stopping = server.StopAsync(Timeout.InfiniteTimeSpan, Soon);
        await AdvanceUntilAsync(time, () => end.Task.IsCompleted);

        Assert.Empty(await end.Task);
        Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
        client.Writer.Close();
        Assert.True((await stopping.WaitAsync(Soon)).IsClean);
    }

    [Fact]
    public async Task Stop_UpstreamKeepsItsDirectionOpen_IsLeftWithoutWaitingForTheDeadline()
    {
        var left = new TaskCompletionSource();
        string url = await ServeUpstreamAsync("tcp", async (reader, writer, stopping) =>
        {
            writer.Write(await reader.ReadLineAsync(stopping));
            await writer.DrainAsync(stopping);
            // It hears the client's end, and does not end by it.
            await reader.ReadAsync(cancellationToken: stopping);
            await left.Task.WaitAsync(stopping);
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection connection = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", await AskAsync(connection, "1\n"));

        Task stopping = server.StopAsync(Soon);
        Task<byte[]> end = connection.Reader.ReadAsync(cancellationToken: Soon).AsTask();
        await AdvanceUntilAsync(time, () => end.IsCompleted);

        Assert.Empty(await end);
        connection.Writer.Close();
        // The upstream has its linger, and no more.
        await AdvanceUntilAsync(time, () => stopping.IsCompleted);
        await stopping;
        left.SetResult();
    }

    [Theory]
    [InlineData("tcp", true)]
    [InlineData("tcp", false)]
    [InlineData("tls", true)]
    [InlineData("tls", false)]
    [InlineData("unix", true)]
    [InlineData("unix", false)]
    public async Task Stop_OneDirectionIsClosedAndTheOtherIsIdle_ClosesCleanly(string upstream, bool clientFirst)
    {
        var left = new TaskCompletionSource();
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var end = new TaskCompletionSource<byte[]>(TaskCreationOptions.RunContinuationsAsynchronously);
        string url = await ServeUpstreamAsync(upstream, async (reader, writer, stopping) =>
        {
            writer.Write("1\n");
            if (!clientFirst)
            {
                writer.WriteEof();
                end.SetResult(await reader.ReadAsync(cancellationToken: stopping));
                return;
            }

            Assert.Empty(await reader.ReadAsync(cancellationToken: stopping));
            ended.SetResult();
            // It has nothing to say, and does not end.
            await left.Task.WaitAsync(stopping);
        });
        var time = new FakeTimeProvider();
        (EndPoint endPoint, ByteStreamServer server) = await StoppableRelayAsync(url, time);
        ByteStreamConnection client = await ConnectAsync("tcp", endPoint);
        Assert.Equal("1\n", Text(await client.Reader.ReadLineAsync(Soon)));
        if (clientFirst)
        {
            client.Writer.WriteEof();
            await ended.Task.WaitAsync(Soon);
        }
        else
        {
            Assert.Empty(await client.Reader.ReadAsync(cancellationToken: Soon));
        }

        Task stopping = server.StopAsync(Soon);
        Task<byte[]> seen = clientFirst ? client.Reader.ReadAsync(cancellationToken: Soon).AsTask() : end.Task;
        await AdvanceUntilAsync(time, () => seen.IsCompleted);
        Assert.Empty(await seen);
        client.Writer.Close();
        // An upstream that does not end by itself has its linger.
        await AdvanceUntilAsync(time, () => stopping.IsCompleted);
        await stopping;
        left.SetResult();
        await AssertEndedAsync("drained");
        Assert.DoesNotContain(Log.GetSnapshot(), record => record.Level >= LogLevel.Warning);
    }
}

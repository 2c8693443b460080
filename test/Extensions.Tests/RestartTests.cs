using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net;
using ByteStreams.Testing;

namespace ByteStreams.Extensions.Tests;

/// <summary>A service that restarts, behind a network that splits and resets.</summary>
public sealed class RestartTests : PoolTest
{
    private const int Restarts = 100;

    private readonly ConcurrentDictionary<long, int> _seen = new();

    [Fact]
    public async Task Execute_ServiceRestarts100Times_NoRequestIsSeenTwiceAndEveryCallerGetsItsAnswerOrAnError()
    {
        ByteStreamServer server = await StartServiceAsync(new IPEndPoint(IPAddress.Loopback, 0));
        var endPoint = (IPEndPoint)server.EndPoints[0];
        await using ChaosRelay relay = await ChaosRelay.StartAsync(
            endPoint, new ChaosOptions { MaxPiece = 16, PauseChance = 0.02, MaxPause = TimeSpan.FromMilliseconds(2), ResetChance = 0.2, EndWithin = 2000 });
        ByteStreamPool pool = Pool(
            $"tcp://{relay.EndPoint}",
            client => client.Configure(options =>
            {
                options.MaxConnections = 4;
                options.RetryDelay = TimeSpan.FromMilliseconds(1);
                options.MaxRetryDelay = TimeSpan.FromMilliseconds(10);
            }),
            TimeProvider.System);
        using var answered = new SemaphoreSlim(0);
        int done = 0, next = 0, answers = 0, errors = 0;
        ConcurrentBag<long> wrong = [];

        Task[] callers = [.. Enumerable.Range(0, 8).Select(_ => Task.Run(CallAsync, Test))];
        for (int i = 0; i < Restarts; i++)
        {
            // The service has worked since the last restart.
            for (int answer = 0; answer < 5; answer++)
            {
                Assert.True(await answered.WaitAsync(Patience.Limit, Test), $"Restart {i}: no answer.");
            }

            server.AbortClients();
            await server.DisposeAsync();
            server = await StartServiceAsync(endPoint);
        }

        Volatile.Write(ref done, 1);
        await Task.WhenAll(callers).WaitAsync(Patience.Limit, Test);
        await server.DisposeAsync();

        Assert.Empty(wrong);
        Assert.DoesNotContain(_seen, request => request.Value > 1);
        Assert.Equal(next, answers + errors);
        Assert.InRange(answers, 5 * Restarts, int.MaxValue);
        TestContext.Current.SendDiagnosticMessage("{0} requests: {1} answers, {2} errors, {3} connections", next, answers, errors, relay.Accepted);

        async Task CallAsync()
        {
            byte[] request = new byte[sizeof(long)];
            while (Volatile.Read(ref done) == 0)
            {
                long id = Interlocked.Increment(ref next);
                BinaryPrimitives.WriteInt64BigEndian(request, id);
                try
                {
                    byte[] answer = await AskAsync(pool, request);
                    Interlocked.Increment(ref answers);
                    answered.Release();
                    if (BinaryPrimitives.ReadInt64BigEndian(answer) != id)
                    {
                        wrong.Add(id);
                    }
                }
                catch (Exception error) when (error is IOException or System.Net.Sockets.SocketException or TimeoutException)
                {
                    Interlocked.Increment(ref errors);
                }
            }
        }
    }

    private Task<ByteStreamServer> StartServiceAsync(EndPoint endPoint) => ByteStream.StartServerAsync(
        async (reader, writer, stopping) =>
        {
            while (await reader.ReadFrameAsync(Frames, stopping) is byte[] request)
            {
                _seen.AddOrUpdate(BinaryPrimitives.ReadInt64BigEndian(request), 1, static (_, count) => count + 1);
                writer.WriteFrame(Frames, request);
                await writer.DrainAsync(stopping);
            }
        },
        endPoint, cancellationToken: Test);
}

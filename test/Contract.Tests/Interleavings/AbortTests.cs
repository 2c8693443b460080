using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>A handler that ends as soon as its read fails closes its connection while the abort is still under way.</summary>
[Collection(nameof(Alone))]
public sealed class AbortTests
{
    private const int Rounds = 25;
    private const int Connections = 40;

    // A Unix socket has no reset: its peer sees the end, unless bytes were left unread.
    [Theory(Timeout = 60000), Trait("Contract", "S5")]
    [InlineData(Medium.Memory)]
    [InlineData(Medium.TcpEpoll)]
    [InlineData(Medium.TcpSocket)]
    [InlineData(Medium.TlsMemory)]
    [InlineData(Medium.TlsEpoll)]
    [InlineData(Medium.TlsSocket)]
    public async Task AbortClients_HandlersEndWithTheirReads_NoClientSeesACleanEnd(Medium medium)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || !medium.ToString().EndsWith("Epoll", StringComparison.Ordinal), "epoll needs Linux");
        CancellationToken test = TestContext.Current.CancellationToken;
        await using MeetingPlace place = await MeetingPlace.StartAsync(medium);
        for (int round = 0; round < Rounds; round++)
        {
            var clients = new List<ByteStreamConnection>();
            var handlers = new List<Task>();
            for (int i = 0; i < Connections; i++)
            {
                (ByteStreamConnection client, MeetingPlace.Handler handler) = await place.ConnectAsync(test);
                clients.Add(client);
                handlers.Add(EndWithTheReadAsync(handler, closes: i % 2 == 0));
            }

            Task<Exception?>[] ends = [.. clients.Select(client => Record.ExceptionAsync(async () => await client.Reader.ReadAsync(1, test)).AsTask())];

            place.Server.AbortClients();

            Assert.All(await Task.WhenAll(ends), end => Assert.IsType<ConnectionResetException>(end));
            await Task.WhenAll(handlers);
            foreach (ByteStreamConnection client in clients)
            {
                await client.DisposeAsync();
            }
        }
    }

    private static async Task EndWithTheReadAsync(MeetingPlace.Handler handler, bool closes)
    {
        await Assert.ThrowsAsync<ConnectionAbortedException>(async () => await handler.Reader.ReadAsync(1));
        if (closes)
        {
            handler.Writer.Close();
        }

        handler.Result.SetResult();
    }
}

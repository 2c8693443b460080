using ByteStreams;
using ByteStreams.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Company.Service_1.Tests;

public sealed class EchoHandlerTests
{
    private static readonly HandlerContract Contract = new(Serve, request: "hello\n"u8.ToArray(), reply: "hello\n"u8.ToArray());

    public static TheoryData<string> Cases => [.. HandlerContract.Cases];

    // Requests split at every byte and pipelined; peers that close, reset or never read; a server that stops.
    [Theory, MemberData(nameof(Cases))]
    public Task Echo_KeepsTheContract(string name) => Contract.RunAsync(name, TestContext.Current.CancellationToken);

    [Fact]
    public async Task Echo_TwoLinesAndEof_AnswersBothAndCloses()
    {
        CancellationToken cancelled = TestContext.Current.CancellationToken;
        await using ByteStreamServer server = await ByteStream.StartServerAsync(Serve, new InMemoryEndPoint("echo"), cancellationToken: cancelled);
        await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(server.EndPoints[0], cancellationToken: cancelled);
        await peer.SendAsync("one\ntw"u8, cancelled);
        await peer.ExpectAsync("one\n"u8, cancelled);
        await peer.SendAsync("o\n"u8, cancelled);
        await peer.HalfCloseAsync(cancelled);
        await peer.ExpectAsync("two\n"u8, cancelled);
        await peer.ExpectEndAsync(cancelled);
    }

    private static Task Serve(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping) =>
        new EchoHandler(NullLogger<EchoHandler>.Instance).OnConnectedAsync(reader, writer, stopping);
}

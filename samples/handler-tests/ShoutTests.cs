// Tests a handler against the behaviour of real peers. Run it with: dotnet test --project samples/handler-tests
using System.Text;
using ByteStreams;
using ByteStreams.Testing;

namespace HandlerTests;

public sealed class ShoutTests
{
    private static readonly HandlerContract Contract = new(ShoutAsync, request: "hello\n"u8.ToArray(), reply: "HELLO\n"u8.ToArray());

    public static TheoryData<string> Cases => [.. HandlerContract.Cases];

    /// <summary>Input split at every byte, a chaos relay, peers that close, reset and do not read, and a server that stops.</summary>
    [Theory, MemberData(nameof(Cases))]
    public Task Shout_KeepsTheContract(string name) => Contract.RunAsync(name, TestContext.Current.CancellationToken);

    /// <summary>A scripted conversation in memory.</summary>
    [Fact]
    public async Task Shout_TwoLinesAndTheEnd_AnswersBoth()
    {
        await using ByteStreamServer server = await ByteStream.StartServerAsync(ShoutAsync, new InMemoryEndPoint("shout"));
        await using ScriptedPeer peer = await ScriptedPeer.ConnectAsync(server.EndPoints[0]);
        await peer.SendAsync("one\ntw"u8);
        await peer.ExpectAsync("ONE\n"u8);
        await peer.SendAsync("o\n"u8);
        await peer.HalfCloseAsync();
        await peer.ExpectAsync("TWO\n"u8);
        await peer.ExpectEndAsync();
    }

    private static async Task ShoutAsync(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            writer.Write(Encoding.ASCII.GetString(line).ToUpperInvariant());
            await writer.DrainAsync(stopping);
        }
    }
}

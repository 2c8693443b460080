using ByteStreams.Testing;

namespace ByteStreams.Faults.Tests.Testing;

/// <summary>The contract of handlers finds the errors that handlers make.</summary>
public sealed class HandlerContractTests
{
    public static TheoryData<string> Cases => [.. HandlerContract.Cases];

    private static CancellationToken Test => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(Cases))]
    public Task Handler_ThatIsRight_KeepsIt(string name) => new HandlerContract(EchoLines, "hello\n"u8.ToArray(), "hello\n"u8.ToArray()).RunAsync(name, Test);

    [Theory]
    [InlineData("Request_ByteByByte_IsAnswered")]
    [InlineData("Request_CutInTwo_IsAnswered")]
    public Task Handler_ThatTakesAReadForARequest_IsFound(string name) => AssertBreaksAsync(name, async (reader, writer, stopping) =>
    {
        while (await reader.ReadAsync(100, stopping) is { Length: > 0 } bytes)
        {
            writer.Write(bytes.Length == 6 ? bytes : "what?\n"u8);
            await writer.DrainAsync(stopping);
        }
    });

    [Theory]
    [InlineData("Peer_EndsWithinItsRequest_HandlerReturns")]
    [InlineData("Peer_ResetsWithinItsRequest_HandlerReturns")]
    public Task Handler_ThatNeverLooksForTheEnd_IsFound(string name) => AssertBreaksAsync(name, async (_, _, stopping) => await Task.Delay(-1, stopping));

    [Fact]
    public Task Handler_ThatDoesNotStop_IsFound() => AssertBreaksAsync(
        "Server_Stops_HandlerReturns", (reader, writer, _) => EchoLines(reader, writer, CancellationToken.None));

    [Fact]
    public async Task Handler_ThatDoesNotDrain_IsFoundWithTheRemedy()
    {
        ContractException broken = await AssertBreaksAsync("Peer_NeverReads_IsPausedAndHandlerReturnsWhenItLeaves", async (reader, writer, stopping) =>
        {
            while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
            {
                writer.Write(line);
            }
        }, TimeSpan.FromMinutes(1));
        Assert.Contains("Await DrainAsync between them.", broken.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Run_NoSuchCase_NamesThem()
    {
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(
            () => new HandlerContract(EchoLines, new byte[1], default).RunAsync("Nonsense", Test));
        Assert.Contains("Request_Whole_IsAnswered", error.Message, StringComparison.Ordinal);
    }

    private static async Task<ContractException> AssertBreaksAsync(string name, ByteStreamDelegate handler, TimeSpan? patience = null)
    {
        var contract = new HandlerContract(handler, "hello\n"u8.ToArray(), "hello\n"u8.ToArray()) { Patience = patience ?? TimeSpan.FromSeconds(5) };
        ContractException broken = await Assert.ThrowsAsync<ContractException>(() => contract.RunAsync(name, Test));
        Assert.StartsWith($"{name}: ", broken.Message, StringComparison.Ordinal);
        return broken;
    }

    private static async Task EchoLines(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadLineAsync(stopping) is { Length: > 0 } line)
        {
            writer.Write(line);
            await writer.DrainAsync(stopping);
        }
    }
}

namespace ByteStreams.Interop.Tests;

/// <summary>What the servers of these tests do with a client.</summary>
internal static class Handlers
{
    /// <summary>Echoes lines until the client's end, or the line "bye".</summary>
    public static async Task EchoLines(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await foreach (byte[] line in reader)
        {
            writer.Write(line);
            await writer.DrainAsync(stopping);
            if (line.AsSpan().SequenceEqual("bye\n"u8))
            {
                return;
            }
        }
    }

    /// <summary>Echoes bytes as they come.</summary>
    public static async Task EchoBytes(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        while (await reader.ReadAsync(65536, stopping) is { Length: > 0 } some)
        {
            writer.Write(some);
            await writer.DrainAsync(stopping);
        }
    }

    /// <summary>Answers only when the client has ended its direction: everything it sent, in one piece.</summary>
    public static async Task AnswerBehindTheEnd(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        writer.Write(await reader.ReadAsync(cancellationToken: stopping));
        await writer.DrainAsync(stopping);
    }

    /// <summary>Fails at the first line.</summary>
    public static async Task Fail(ByteStreamReader reader, ByteStreamWriter writer, CancellationToken stopping)
    {
        await reader.ReadLineAsync(stopping);
        throw new InvalidOperationException("The handler fails on purpose.");
    }
}

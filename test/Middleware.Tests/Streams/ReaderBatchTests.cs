using System.Buffers;
using System.IO.Pipelines;
using Microsoft.Extensions.Time.Testing;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>Batches over one type of source; <see cref="ReaderContract"/> has what holds over all.</summary>
public class ReaderBatchTests : ReaderTestBase
{
    [Theory]
    [InlineData("line", "\n")]
    [InlineData("one", "\r\n")]
    [InlineData("several", "\r\n")]
    [InlineData("many", ";")]
    [Trait("Contract", "R21")]
    public async Task Try_OneByteAtATime_LooksAtEachByteAFewTimes(string kind, string end)
    {
        const int length = 2000;
        var source = new OverChunks(limit: 2 * length, PipeScheduler.Inline);
        ByteStreamReader reader = source.Reader;
        ReadOnlyMemory<byte>[] several = Separators("\r\n", "!!");
        ReadOnlyMemory<byte>[] many = Separators([.. Enumerable.Range(0, 199).Select(i => $"xxxxxxxxxxxxxxxx{i:000}"), ";"]);

        foreach (char c in new string('x', length) + end)
        {
            Assert.Null(Next());
            source.Feed(c.ToString());
            Assert.True(await Get(reader.WaitToReadAsync(Test)));
        }

        Assert.Equal(length + end.Length, Next());
        // To search from the start each time would cost length² / 2 = 2 million looks.
        Assert.InRange(source.Input.Looks, length, 20L * length);

        long? Next()
        {
            ReadOnlySequence<byte> bytes;
            bool found = kind switch
            {
                "line" => reader.TryReadLine(out bytes),
                "one" => reader.TryReadUntil(Bytes(end), out bytes),
                "several" => reader.TryReadUntil(several, out bytes),
                _ => reader.TryReadUntil(many, out bytes),
            };
            return found ? bytes.Length : null;
        }
    }

    [Fact]
    [Trait("Contract", "R6")]
    public async Task TryReadExactly_MoreThanThePauseThreshold_ReceivesTheRest()
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 100, resumeWriterThreshold: 50, useSynchronizationContext: false));
        var reader = new ByteStreamReader(pipe.Reader);
        Task feeding = Task.Run(
            async () =>
            {
                for (int i = 0; i < 100; i++)
                {
                    await pipe.Writer.WriteAsync(new byte[100], Test);
                }

                await pipe.Writer.CompleteAsync();
            },
            Test);

        ReadOnlySequence<byte> bytes;
        while (!reader.TryReadExactly(10_000, out bytes))
        {
            Assert.True(await Get(reader.WaitToReadAsync(Test)));
        }

        Assert.Equal(10_000, bytes.Length);
        Assert.False(await Get(reader.WaitToReadAsync(Test)));
        await feeding.WaitAsync(Soon, Test);
    }

    [Fact]
    public async Task Try_UntilTheNextCall_BytesAreNotOverwritten()
    {
        // Memory that was given back is overwritten at once.
        var source = new OverChunks(limit: 100, PipeScheduler.Inline);
        source.Feed("ab\n", "c");
        Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
        Assert.True(source.Reader.TryReadLine(out ReadOnlySequence<byte> line));
        source.Feed("d", "e\n");

        Assert.Equal("ab\n", Text(line.ToArray()));
    }

    [Fact]
    [Trait("Contract", "W1")]
    public async Task WaitToRead_Waits_SendsWhatWasWritten()
    {
        var input = new Pipe();
        var output = new Pipe();
        var reader = new ByteStreamReader(input.Reader);
        // Time stands still: nothing but the wait sends what was written.
        using var never = new DeferredFlush(new FakeTimeProvider());
        var writer = new ByteStreamWriter(output.Writer, reader, connection: null, logger: null, never);
        writer.Write("question\n"u8);
        Assert.False(output.Reader.TryRead(out _));

        ValueTask<bool> wait = reader.WaitToReadAsync(Test);

        Assert.True(output.Reader.TryRead(out ReadResult sent));
        Assert.Equal("question\n", Text(sent.Buffer.ToArray()));
        input.Writer.Complete();
        Assert.False(await Get(wait));
    }

    [Fact]
    [Trait("Contract", "W11")]
    public async Task Try_BeforeAnUpgrade_NothingOfTheNewBytesIsTakenAsSearched()
    {
        foreach ((string name, Func<ByteStreamReader, bool> call) in Searches())
        {
            var plain = new Pipe();
            var reader = new ByteStreamReader(plain.Reader);
            await plain.Writer.WriteAsync(Bytes("xxxx"), Test);
            Assert.True(await Get(reader.WaitToReadAsync(Test)));
            Assert.False(call(reader));

            // The bytes that were searched are TLS's: what it makes of them begins at the same position of the stream.
            Assert.Equal("xxxx", await Get(reader.BeginUpgradeAsync("StartTlsAsync")));
            Assert.Matches("StartTlsAsync", Assert.Throws<InvalidOperationException>(() => call(reader)).Message);
            var secret = new Pipe();
            reader.EndUpgrade(secret.Reader);
            Assert.False(call(reader));
            await secret.Writer.WriteAsync(Bytes("a\nb"), Test);

            Assert.True(await Get(reader.WaitToReadAsync(Test)));
            Assert.True(call(reader), name);
        }

        static IEnumerable<(string Name, Func<ByteStreamReader, bool> Try)> Searches()
        {
            yield return ("line", reader => reader.TryReadLine(out _));
            yield return ("one", reader => reader.TryReadUntil(Bytes("\n"), out _));
            yield return ("several", reader => reader.TryReadUntil(Separators("\n", "!"), out _));
            yield return ("many", reader => reader.TryReadUntil(Separators("\n", "1", "2", "3", "4", "5"), out _));
        }
    }

    [Fact]
    public async Task WaitToRead_Closed_ReturnsWhatIsBufferedAndThenTheEnd()
    {
        var source = new OverPipe(limit: 100);
        source.Feed("ab");
        Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
        Assert.False(source.Reader.TryReadLine(out _));
        ValueTask<bool> wait = source.Reader.WaitToReadAsync(Test);

        source.Reader.Close();

        Assert.True(await Get(wait));
        Assert.True(source.Reader.TryReadLine(out ReadOnlySequence<byte> line));
        Assert.Equal("ab", Text(line.ToArray()));
        Assert.False(await Get(source.Reader.WaitToReadAsync(Test)));
    }

    [Fact]
    public async Task Try_AfterTheConnectionWasDisposed_ReturnsNothing()
    {
        var source = new OverChunks(limit: 100, PipeScheduler.Inline);
        source.Feed("ab\ncd\n");
        Assert.True(await Get(source.Reader.WaitToReadAsync(Test)));
        Assert.True(source.Reader.TryReadLine(out _));

        source.Reader.Close();
        source.Reader.Detach();
        source.Input.TakeMemoryBack();

        Assert.False(source.Reader.TryReadLine(out _));
        Assert.False(await Get(source.Reader.WaitToReadAsync(Test)));
        Assert.False(source.Reader.TryReadLine(out _));
    }
}

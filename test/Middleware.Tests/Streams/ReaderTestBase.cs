using System.Buffers;
using System.Text;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>The words that the reader's tests are written in. Bytes are shown as Latin-1 text.</summary>
public abstract class ReaderTestBase
{
    protected static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);

    protected static CancellationToken Test => TestContext.Current.CancellationToken;

    protected static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    protected static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);

    protected static ReadOnlyMemory<byte>[] Separators(params string[] separators) =>
        [.. separators.Select(separator => (ReadOnlyMemory<byte>)Bytes(separator))];

    protected static async Task<string> Get(ValueTask<byte[]> read) => Text(await read.AsTask().WaitAsync(Soon));

    protected static async Task<string> Get(ValueTask<ReadOnlySequence<byte>> read) =>
        Encoding.Latin1.GetString(await read.AsTask().WaitAsync(Soon));

    protected static async Task<T> Get<T>(ValueTask<T> read) => await read.AsTask().WaitAsync(Soon);

    protected static Task<TError> Fails<TError, T>(ValueTask<T> read)
        where TError : Exception => Assert.ThrowsAsync<TError>(() => read.AsTask().WaitAsync(Soon));

    protected static Task<LimitOverrunException> Overruns<T>(ValueTask<T> read) => Fails<LimitOverrunException, T>(read);

    protected static Task<IncompleteReadException> Incomplete<T>(ValueTask<T> read) => Fails<IncompleteReadException, T>(read);

    /// <summary>A frame: one byte that says how long the rest is.</summary>
    protected static bool TryParseFrame(ref SequenceReader<byte> input, out string frame)
    {
        frame = string.Empty;
        if (!input.TryRead(out byte length) || !input.TryReadExact(length, out ReadOnlySequence<byte> body))
        {
            return false;
        }

        frame = Encoding.Latin1.GetString(body);
        return true;
    }

    /// <summary>Every way to read, asked for more than the tests feed.</summary>
    protected static IEnumerable<(string Name, Func<ByteStreamReader, CancellationToken, Task> Read)> EveryRead()
    {
        yield return ("ReadAsync", (reader, token) => reader.ReadAsync(-1, token).AsTask());
        yield return ("ReadAsync", (reader, token) => reader.ReadAsync(5, token).AsTask());
        yield return ("ReadAsync", (reader, token) => reader.ReadAsync(new byte[5].AsMemory(), token).AsTask());
        yield return ("ReadExactlyAsync", (reader, token) => reader.ReadExactlyAsync(50, token).AsTask());
        yield return ("ReadExactlyAsync", (reader, token) => reader.ReadExactlyAsync(new byte[50].AsMemory(), token).AsTask());
        yield return ("ReadLineAsync", (reader, token) => reader.ReadLineAsync(token).AsTask());
        yield return ("ReadTextLineAsync", (reader, token) => reader.ReadTextLineAsync(null, token).AsTask());
        yield return ("ReadUntilAsync", (reader, token) => reader.ReadUntilAsync(Bytes("#"), token).AsTask());
        yield return ("ReadUntilAsync", (reader, token) => reader.ReadUntilAsync(Separators("#", "##!"), token).AsTask());
        yield return ("ReadMessageAsync", (reader, token) => reader.ReadMessageAsync<string>(TryParseFrame, token).AsTask());
        yield return ("PeekAsync", (reader, token) => reader.PeekAsync(50, token).AsTask());
        yield return ("BorrowAsync", (reader, token) => reader.BorrowAsync(token).AsTask());
        yield return ("BorrowExactlyAsync", (reader, token) => reader.BorrowExactlyAsync(50, token).AsTask());
        yield return ("BorrowLineAsync", (reader, token) => reader.BorrowLineAsync(token).AsTask());
        yield return ("BorrowUntilAsync", (reader, token) => reader.BorrowUntilAsync(Bytes("#"), token).AsTask());
        yield return ("BorrowUntilAsync", (reader, token) => reader.BorrowUntilAsync(Separators("#", "##!"), token).AsTask());
    }
}

using System.Text;
using BenchmarkDotNet.Attributes;
using ByteStreams;

namespace Benchmarks.Parts;

/// <summary>Records of 4 KiB that are hard to find the end of.</summary>
[MemoryDiagnoser]
public class ReadUntil
{
    private const int Records = 256;
    private const int Size = 4096;
    private static readonly ReadOnlyMemory<byte> HeaderEnd = "\r\n\r\n"u8.ToArray();
    private static readonly ReadOnlyMemory<byte> TenBytes = "aaaaaaaaab"u8.ToArray();
    private static readonly ReadOnlyMemory<byte>[] Several = ["\n"u8.ToArray(), "\r\n"u8.ToArray(), "\0"u8.ToArray()];

    private readonly ByteStreamReader _text = New(new string('x', Size - 1) + "\n");
    private readonly ByteStreamReader _headers = New(string.Concat(Enumerable.Repeat("name: value\r\n", Size / 13)) + "\r\n");
    private readonly ByteStreamReader _partial = New(new string('a', Size - 1) + "b");

    [Benchmark(OperationsPerInvoke = Records, Baseline = true)]
    public async Task<long> Line()
    {
        long sum = 0;
        for (int i = 0; i < Records; i++)
        {
            sum += (await _text.BorrowLineAsync()).Length;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Records)]
    public async Task<long> ThreeSeparators()
    {
        long sum = 0;
        for (int i = 0; i < Records; i++)
        {
            sum += (await _text.BorrowUntilAsync(Several)).Length;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Records)]
    public async Task<long> HeadersToTheEmptyLine()
    {
        long sum = 0;
        for (int i = 0; i < Records; i++)
        {
            sum += (await _headers.BorrowUntilAsync(HeaderEnd)).Length;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Records)]
    public async Task<long> LongPartialMatches()
    {
        long sum = 0;
        for (int i = 0; i < Records; i++)
        {
            sum += (await _partial.BorrowUntilAsync(TenBytes)).Length;
        }

        return sum;
    }

    private static ByteStreamReader New(string record) =>
        new Repeating(Encoding.ASCII.GetBytes(record), 4 * Size).Connect().Reader;
}

using System.Buffers;
using BenchmarkDotNet.Attributes;
using ByteStreams;

namespace Benchmarks.Parts;

/// <summary>All that this library adds to a message: a line is read, written and drained, and only the kernel is missing.</summary>
[MemoryDiagnoser]
public class LineEcho
{
    private const int Lines = 4096;
    private static readonly byte[] Line = [.. Enumerable.Repeat((byte)'x', 63), (byte)'\n'];
    private ByteStreamReader? _reader;
    private ByteStreamWriter? _writer;

    /// <summary>Lines that a receive brings: the messages in flight.</summary>
    [Params(1, 16)]
    public int Depth { get; set; }

    [GlobalSetup]
    public void SetUp() => (_reader, _writer) = new Repeating(Line, Depth * Line.Length).Connect();

    [Benchmark(OperationsPerInvoke = Lines)]
    public async Task Echo()
    {
        ByteStreamReader reader = _reader!;
        ByteStreamWriter writer = _writer!;
        for (int i = 0; i < Lines; i++)
        {
            ReadOnlySequence<byte> line = await reader.BorrowLineAsync();
            writer.Write(line);
            await writer.DrainAsync();
        }
    }
}

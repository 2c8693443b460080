using System.Buffers;
using System.IO.Pipelines;
using System.Text;
using BenchmarkDotNet.Attributes;
using ByteStreams;

namespace Benchmarks.Parts;

/// <summary>A line of 64 bytes, of which a receive brings 64.</summary>
[MemoryDiagnoser]
public class ReadLine
{
    private const int Lines = 4096;
    private static readonly byte[] Line = [.. Enumerable.Repeat((byte)'x', 63), (byte)'\n'];

    private readonly ByteStreamReader _reader = New().Connect().Reader;
    private readonly Stream _stream = New().AsStream();
    private readonly PipeReader _pipeReader = PipeReader.Create(New().AsStream());

    [Benchmark(OperationsPerInvoke = Lines)]
    public async Task<long> BorrowLineAsync()
    {
        long sum = 0;
        for (int i = 0; i < Lines; i++)
        {
            sum += (await _reader.BorrowLineAsync()).Length;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lines)]
    public async Task<long> ReadLineAsync()
    {
        long sum = 0;
        for (int i = 0; i < Lines; i++)
        {
            sum += (await _reader.ReadLineAsync()).Length;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lines)]
    public async Task<long> PipeReaderLoop()
    {
        long sum = 0;
        for (int left = Lines; left > 0;)
        {
            ReadResult result = await _pipeReader.ReadAsync();
            ReadOnlySequence<byte> buffer = result.Buffer;
            while (left > 0 && buffer.PositionOf((byte)'\n') is SequencePosition end)
            {
                SequencePosition next = buffer.GetPosition(1, end);
                sum += buffer.Slice(0, next).Length;
                buffer = buffer.Slice(next);
                left--;
            }

            _pipeReader.AdvanceTo(buffer.Start, left > 0 ? buffer.End : buffer.Start);
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Lines, Baseline = true)]
    public async Task<long> StreamReaderReadLineAsync()
    {
        using var reader = new StreamReader(_stream, Encoding.ASCII, leaveOpen: true);
        long sum = 0;
        for (int i = 0; i < Lines; i++)
        {
            sum += (await reader.ReadLineAsync())!.Length;
        }

        return sum;
    }

    private static Repeating New() => new(Line, 64 * Line.Length);
}

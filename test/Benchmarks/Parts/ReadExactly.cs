using BenchmarkDotNet.Attributes;
using ByteStreams;

namespace Benchmarks.Parts;

/// <summary>So many bytes, of which a receive brings 16 KiB at most.</summary>
[MemoryDiagnoser]
public class ReadExactly
{
    private const int Reads = 256;
    private readonly ByteStreamReader _reader = new Repeating(new byte[16384], 16384).Connect().Reader;
    private byte[] _mine = [];

    [Params(16, 65536)]
    public int Size { get; set; }

    [GlobalSetup]
    public void SetUp() => _mine = new byte[Size];

    [Benchmark(OperationsPerInvoke = Reads)]
    public async Task<long> Borrowed()
    {
        long sum = 0;
        for (int i = 0; i < Reads; i++)
        {
            sum += (await _reader.BorrowExactlyAsync(Size)).Length;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Reads)]
    public async Task IntoMine()
    {
        for (int i = 0; i < Reads; i++)
        {
            await _reader.ReadExactlyAsync(_mine);
        }
    }

    [Benchmark(OperationsPerInvoke = Reads, Baseline = true)]
    public async Task<long> Owned()
    {
        long sum = 0;
        for (int i = 0; i < Reads; i++)
        {
            sum += (await _reader.ReadExactlyAsync(Size)).Length;
        }

        return sum;
    }
}

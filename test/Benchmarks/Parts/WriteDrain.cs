using BenchmarkDotNet.Attributes;
using ByteStreams;

namespace Benchmarks.Parts;

/// <summary>What a write and its drain cost where the peer takes everything at once.</summary>
[MemoryDiagnoser]
public class WriteDrain
{
    private const int Drains = 1024;
    private static readonly byte[] Line = new byte[64];
    private static readonly byte[] Large = new byte[65536];
    private readonly ByteStreamWriter _writer = new Repeating([0], 1).Connect().Writer;

    [Benchmark(OperationsPerInvoke = Drains, Baseline = true)]
    public async Task OneLine()
    {
        for (int i = 0; i < Drains; i++)
        {
            _writer.Write(Line);
            await _writer.DrainAsync();
        }
    }

    [Benchmark(OperationsPerInvoke = Drains)]
    public async Task SixteenLines()
    {
        for (int i = 0; i < Drains; i++)
        {
            for (int line = 0; line < 16; line++)
            {
                _writer.Write(Line);
            }

            await _writer.DrainAsync();
        }
    }

    [Benchmark(OperationsPerInvoke = Drains)]
    public async Task SixtyFourKiB()
    {
        for (int i = 0; i < Drains; i++)
        {
            _writer.Write(Large);
            await _writer.DrainAsync();
        }
    }
}

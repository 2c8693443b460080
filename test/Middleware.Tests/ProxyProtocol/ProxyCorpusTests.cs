using ByteStreams.Fuzz;

namespace ByteStreams.Middleware.Tests.ProxyProtocol;

/// <summary>What the fuzzer begins with, and what it has ever found: see test/Fuzz/run.</summary>
public class ProxyCorpusTests
{
    public static TheoryData<string> Corpus => [.. Directory.GetFiles(Path.Combine(Repository.Root, "test/Fuzz/corpus/proxy")).Select(path => Path.GetFileName(path))];

    [Theory, MemberData(nameof(Corpus))]
    [Trait("Fault", "F30")]
    public void Run_EachFileOfTheCorpus_HoldsWhatItDemands_F30(string file) =>
        ProxyHeaderTarget.Run(File.ReadAllBytes(Path.Combine(Repository.Root, "test/Fuzz/corpus/proxy", file)));
}

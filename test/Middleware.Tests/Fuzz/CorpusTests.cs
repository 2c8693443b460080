using ByteStreams.Fuzz;
using CsCheck;

namespace ByteStreams.Middleware.Tests.Fuzz;

/// <summary>What the fuzzer begins with, and what it has ever found: see test/Fuzz/run. As it is, and changed at random.</summary>
public class CorpusTests
{
    private static readonly string Corpus = Path.Combine(Repository.Root, "test/Fuzz/corpus");

    private static readonly Gen<(uint File, (int Kind, uint At, byte Value)[] Changes)> GenChanges =
        Gen.Select(Gen.UInt, Gen.Select(Gen.Int[0, 3], Gen.UInt, Gen.Byte).Array[1, 5]);

    public static TheoryData<string> Targets => [.. FuzzTarget.All.Keys.Order(StringComparer.Ordinal)];

    [Theory, MemberData(nameof(Targets))]
    [Trait("Fault", "F20")]
    [Trait("Fault", "F30")]
    [Trait("Fault", "F45")]
    public void Run_EveryInputOfTheCorpus_HoldsWhatTheTargetDemandsWithinItsLimits(string target)
    {
        string[] files = Files(target);

        Assert.NotEmpty(files);
        Assert.All(files, file => FuzzTarget.All[target].Measure(File.ReadAllBytes(file), isAlone: false));
        if (target == "tls")
        {
            TlsRecordTarget.Settle();
        }
    }

    [Theory, MemberData(nameof(Targets))]
    public void Run_InputsChangedAnywhere_HoldsTheSame(string target)
    {
        byte[][] inputs = [.. Files(target).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)];

        GenChanges.Sample(
            changes => FuzzTarget.All[target].Measure(Change(inputs[changes.File % inputs.Length], changes.Changes), isAlone: false),
            iter: target == "tls" ? 100 : 2000,
            threads: 1,
            print: changes => Convert.ToHexString(Change(inputs[changes.File % inputs.Length], changes.Changes)));
    }

    [Fact]
    public void Corpus_EachFolder_IsATargets() =>
        Assert.Equal(FuzzTarget.All.Keys.Order(), Directory.GetDirectories(Corpus).Select(folder => Path.GetFileName(folder)).Order());

    private static string[] Files(string target) => Directory.GetFiles(Path.Combine(Corpus, target));

    /// <summary>A byte replaced, put in or left out, or the rest cut off.</summary>
    private static byte[] Change(byte[] input, (int Kind, uint At, byte Value)[] changes)
    {
        var bytes = new List<byte>(input);
        foreach ((int kind, uint at, byte value) in changes)
        {
            int index = (int)(at % (bytes.Count + 1));
            switch (kind)
            {
                case 0:
                    bytes.Insert(index, value);
                    break;
                case 1 when index < bytes.Count:
                    bytes[index] = value;
                    break;
                case 2 when index < bytes.Count:
                    bytes.RemoveAt(index);
                    break;
                case 3 when value < 64:
                    bytes.RemoveRange(index, bytes.Count - index);
                    break;
            }
        }

        return [.. bytes];
    }
}

using CsCheck;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>
/// Any chunking of random bytes over a small alphabet and any sequence of reads, cancellations and an end, against a model that is
/// a plain string with asyncio's rules.
/// </summary>
public class ReaderModelTests : ReaderTestBase
{
    private static readonly string[] SeparatorPool = ["a", "b", "\n", "ab", "ba", "aa", "aab", "aba", "bbb", "\r\n", "abab"];

    private static readonly string[][] BatchSeparators = [["aba"], ["bbb"], ["aab", "ba"], ["aab", "aba", "bbb", "abab", "\r\n"]];

    private static readonly Gen<string> GenChunk = Gen.Char["aab\r\n"].Array[1, 12].Select(chars => new string(chars));

    private static readonly Gen<ReaderStep> GenStep = Gen.Frequency(
        (8, GenChunk.Select(data => new ReaderStep(ReaderStepKind.Feed, Data: data))),
        (3, Gen.Int[-1, 14].Select(n => new ReaderStep(ReaderStepKind.Read, n))),
        (1, Gen.Int[0, 14].Select(n => new ReaderStep(ReaderStepKind.ReadMemory, n))),
        (1, Gen.Const(new ReaderStep(ReaderStepKind.Borrow))),
        (3, Gen.Int[-1, 14].Select(n => new ReaderStep(ReaderStepKind.Exactly, n))),
        (1, Gen.Int[0, 14].Select(n => new ReaderStep(ReaderStepKind.ExactlyMemory, n))),
        (1, Gen.Int[-1, 14].Select(n => new ReaderStep(ReaderStepKind.BorrowExactly, n))),
        (4, Gen.Const(new ReaderStep(ReaderStepKind.Line))),
        (2, Gen.Const(new ReaderStep(ReaderStepKind.BorrowLine))),
        (1, Gen.Const(new ReaderStep(ReaderStepKind.TextLine))),
        (4, Gen.OneOf([.. SeparatorPool.Select(separator => Gen.Const(separator))]).Array[1, 9].Select(separators => new ReaderStep(ReaderStepKind.Until, Separators: separators))),
        (2, Gen.OneOf([.. SeparatorPool.Select(separator => Gen.Const(separator))]).Array[1, 9].Select(separators => new ReaderStep(ReaderStepKind.BorrowUntil, Separators: separators))),
        (5, Gen.Const(new ReaderStep(ReaderStepKind.BatchWait))),
        (4, Gen.Const(new ReaderStep(ReaderStepKind.BatchLine))),
        (2, Gen.Int[-1, 14].Select(n => new ReaderStep(ReaderStepKind.BatchExactly, n))),
        // Few separators: the search continues only if the next call has the same.
        (4, Gen.OneOf([.. BatchSeparators.Select(separators => Gen.Const(separators))]).Select(separators => new ReaderStep(ReaderStepKind.BatchUntil, Separators: separators))),
        (3, Gen.Const(new ReaderStep(ReaderStepKind.Cancel))),
        (1, Gen.Const(new ReaderStep(ReaderStepKind.End))));

    private static readonly Gen<(int Limit, ReaderStep[] Steps)> GenScript = Gen.Select(Gen.Int[1, 20], GenStep.Array[1, 50]);

    [Theory]
    [InlineData("fed by hand")]
    [InlineData("pipe")]
    [InlineData("pipe of small segments")]
    [InlineData("chunks")]
    [Trait("Contract", "R8")]
    [Trait("Contract", "R12")]
    [Trait("Contract", "R18")]
    public void Read_AnyCallsOverAnyChunks_AnswersAsTheModel(string kind) => GenScript.Sample(
        script =>
        {
            (string expected, string actual) = ReaderScript.Play(
                ReaderScript.MakeSource(kind, script.Limit), ReaderScript.MakeModel(kind, script.Limit), script.Steps, Test);
            Assert.Equal(expected, actual);
        },
        iter: 10_000,
        threads: 1,
        print: script => $"limit {script.Limit}: {string.Join(", ", script.Steps.Select(step => step.ToString()))}");
}

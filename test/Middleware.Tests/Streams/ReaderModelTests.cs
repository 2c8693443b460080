using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using CsCheck;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>
/// Any chunking of random bytes over a small alphabet and any sequence of reads, cancellations and an end, against a model that is
/// a plain string with asyncio's rules.
/// </summary>
public class ReaderModelTests : ReaderTestBase
{
    private static readonly string[] SeparatorPool = ["a", "b", "\n", "ab", "ba", "aa", "aab", "aba", "bbb", "\r\n", "abab"];

    private static readonly Gen<string> GenChunk = Gen.Char["aab\r\n"].Array[1, 12].Select(chars => new string(chars));

    private static readonly Gen<Step> GenStep = Gen.Frequency(
        (8, GenChunk.Select(data => new Step(Kind.Feed, Data: data))),
        (3, Gen.Int[-1, 14].Select(n => new Step(Kind.Read, n))),
        (1, Gen.Int[0, 14].Select(n => new Step(Kind.ReadMemory, n))),
        (1, Gen.Const(new Step(Kind.Borrow))),
        (3, Gen.Int[-1, 14].Select(n => new Step(Kind.Exactly, n))),
        (1, Gen.Int[0, 14].Select(n => new Step(Kind.ExactlyMemory, n))),
        (1, Gen.Int[-1, 14].Select(n => new Step(Kind.BorrowExactly, n))),
        (4, Gen.Const(new Step(Kind.Line))),
        (2, Gen.Const(new Step(Kind.BorrowLine))),
        (1, Gen.Const(new Step(Kind.TextLine))),
        (4, Gen.OneOf([.. SeparatorPool.Select(separator => Gen.Const(separator))]).Array[1, 4].Select(separators => new Step(Kind.Until, Separators: separators))),
        (2, Gen.OneOf([.. SeparatorPool.Select(separator => Gen.Const(separator))]).Array[1, 4].Select(separators => new Step(Kind.BorrowUntil, Separators: separators))),
        (3, Gen.Const(new Step(Kind.Cancel))),
        (1, Gen.Const(new Step(Kind.End))));

    private static readonly Gen<(int Limit, Step[] Steps)> GenScript = Gen.Select(Gen.Int[1, 20], GenStep.Array[1, 40]);

    private enum Kind
    {
        Feed,
        End,
        Cancel,
        Read,
        ReadMemory,
        Borrow,
        Exactly,
        ExactlyMemory,
        BorrowExactly,
        Line,
        BorrowLine,
        TextLine,
        Until,
        BorrowUntil,
    }

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
            // A pipe that never pauses: the script feeds without waiting.
            var options = new PipeOptions(
                readerScheduler: PipeScheduler.Inline, pauseWriterThreshold: 0, minimumSegmentSize: kind == "pipe" ? -1 : 16,
                useSynchronizationContext: false);
            ReaderSource source = kind switch
            {
                "fed by hand" => new HandFed(script.Limit, PipeScheduler.Inline),
                "chunks" => new OverChunks(script.Limit, PipeScheduler.Inline),
                _ => new OverPipe(script.Limit, options),
            };
            (string expected, string actual) = Play(source, new Model(script.Limit, patient: kind != "fed by hand"), script.Steps);
            Assert.Equal(expected, actual);
        },
        iter: 10_000,
        threads: 1,
        print: script => $"limit {script.Limit}: {string.Join(", ", script.Steps.Select(step => step.ToString()))}");

    private static (string Expected, string Actual) Play(ReaderSource source, Model model, Step[] steps)
    {
        var expected = new StringBuilder();
        var actual = new StringBuilder();
        using var test = CancellationTokenSource.CreateLinkedTokenSource(Test);
        CancellationTokenSource? cancel = null;
        Step? call = null;
        Task<string>? waiting = null;
        foreach (Step step in steps)
        {
            switch (step.Kind)
            {
                case Kind.Feed when !model.EndArrived:
                    source.Feed(step.Data);
                    model.Arrived += step.Data;
                    break;
                case Kind.End when !model.EndArrived:
                    source.Finish();
                    model.EndArrived = true;
                    break;
                case Kind.Cancel when call is not null:
                    cancel!.Cancel();
                    expected.Append("cancelled\n");
                    actual.Append(waiting!.IsCanceled ? "cancelled\n" : "not cancelled\n");
                    call = null;
                    waiting = null;
                    break;
                case > Kind.Cancel when call is null:
                    cancel?.Dispose();
                    cancel = CancellationTokenSource.CreateLinkedTokenSource(test.Token);
                    call = step;
                    waiting = Call(source.Reader, step, cancel.Token);
                    break;
                default:
                    continue;
            }

            if (call is not null)
            {
                string? answer = model.Answer(call);
                expected.Append(CultureInfo.InvariantCulture, $"{step} -> {answer ?? "waits"}\n");
                actual.Append(CultureInfo.InvariantCulture, $"{step} -> {(waiting!.IsCompleted ? Describe(waiting) : "waits")}\n");
                if (answer is not null)
                {
                    call = null;
                    waiting = null;
                }
            }

            if (actual.Length != expected.Length)
            {
                break;
            }
        }

        cancel?.Dispose();
        return (Visible(expected), Visible(actual));
    }

    private static async Task<string> Call(ByteStreamReader reader, Step step, CancellationToken token)
    {
        byte[] memory = new byte[Math.Max(0, step.N)];
        switch (step.Kind)
        {
            case Kind.Read:
                return Text(await reader.ReadAsync(step.N, token).ConfigureAwait(false));
            case Kind.ReadMemory:
                return Text(memory.AsSpan(0, await reader.ReadAsync(memory.AsMemory(), token).ConfigureAwait(false)));
            case Kind.Borrow:
                return Encoding.Latin1.GetString(await reader.BorrowAsync(token).ConfigureAwait(false));
            case Kind.Exactly:
                return Text(await reader.ReadExactlyAsync(step.N, token).ConfigureAwait(false));
            case Kind.ExactlyMemory:
                await reader.ReadExactlyAsync(memory.AsMemory(), token).ConfigureAwait(false);
                return Text(memory);
            case Kind.BorrowExactly:
                return Encoding.Latin1.GetString(await reader.BorrowExactlyAsync(step.N, token).ConfigureAwait(false));
            case Kind.Line:
                return Text(await reader.ReadLineAsync(token).ConfigureAwait(false));
            case Kind.BorrowLine:
                return Encoding.Latin1.GetString(await reader.BorrowLineAsync(token).ConfigureAwait(false));
            case Kind.TextLine:
                return await reader.ReadTextLineAsync(Encoding.Latin1, token).ConfigureAwait(false) ?? "null";
            case Kind.Until when step.Separators!.Length == 1:
                return Text(await reader.ReadUntilAsync(Bytes(step.Separators[0]), token).ConfigureAwait(false));
            case Kind.Until:
                return Text(await reader.ReadUntilAsync(Separators(step.Separators!), token).ConfigureAwait(false));
            case Kind.BorrowUntil:
                return Encoding.Latin1.GetString(await reader.BorrowUntilAsync(Separators(step.Separators!), token).ConfigureAwait(false));
            default:
                throw new InvalidOperationException($"{step.Kind} is no read.");
        }
    }

    private static string Describe(Task<string> call) => call.Exception?.InnerException switch
    {
        null => call.IsCanceled ? "cancelled" : call.GetAwaiter().GetResult(),
        IncompleteReadException error => $"incomplete {Text(error.Partial)} of {error.Expected}",
        LimitOverrunException error => $"over the limit at {error.Consumed}",
        ArgumentException => "argument",
        Exception error => error.ToString(),
    };

    private static string Visible(StringBuilder text) =>
        text.ToString().Replace("\r", "\\r", StringComparison.Ordinal);

    private sealed record Step(Kind Kind, int N = 0, string Data = "", string[]? Separators = null)
    {
        public override string ToString() => Kind switch
        {
            Kind.Feed => $"feed {Escape(Data)}",
            Kind.Until or Kind.BorrowUntil => $"{Kind}({string.Join('|', Separators!.Select(Escape))})",
            _ => $"{Kind}({N})",
        };

        private static string Escape(string text) =>
            text.Replace("\r", "\\r", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
    }

    /// <summary>
    /// asyncio's rules over a string: no segments, no scan offset, no waiting. A reader over a pipe is patient: it looks at what
    /// has arrived only where what it has does not answer the call.
    /// </summary>
    private sealed class Model(int limit, bool patient)
    {
        public string Arrived { get; set; } = "";

        public bool EndArrived { get; set; }

        private string Buffer { get; set; } = "";

        private bool Ended { get; set; }

        /// <summary>What a call answers now, or null where it waits.</summary>
        public string? Answer(Step call)
        {
            if (patient && AnswerFromBuffer(call) is string answer)
            {
                return answer;
            }

            Buffer += Arrived;
            Arrived = "";
            Ended = EndArrived;
            return AnswerFromBuffer(call);
        }

        private string? AnswerFromBuffer(Step call) => call.Kind switch
        {
            Kind.Read when call.N < 0 => Ended ? Take(Buffer.Length) : null,
            Kind.Read or Kind.ReadMemory => Some(call.N),
            Kind.Borrow => Some(int.MaxValue),
            Kind.Exactly or Kind.ExactlyMemory or Kind.BorrowExactly => Exactly(call.N),
            Kind.Line or Kind.BorrowLine => Line(),
            Kind.TextLine => TextLine(),
            Kind.Until or Kind.BorrowUntil => Until(call.Separators!),
            _ => throw new InvalidOperationException($"{call.Kind} is no read."),
        };

        private string Take(int count)
        {
            string taken = Buffer[..count];
            Buffer = Buffer[count..];
            return taken;
        }

        private string? Some(int n) => n == 0 || Buffer.Length > 0 || Ended ? Take(Math.Min(n, Buffer.Length)) : null;

        private string? Exactly(int n)
        {
            if (n < 0)
            {
                return "argument";
            }

            if (Buffer.Length >= n)
            {
                return Take(n);
            }

            return Ended ? $"incomplete {Take(Buffer.Length)} of {n}" : null;
        }

        private string? Line()
        {
            int newline = Buffer.IndexOf('\n', StringComparison.Ordinal);
            int length = newline < 0 ? Buffer.Length : newline;
            if (length > limit)
            {
                Take(newline < 0 ? length : length + 1);
                return $"over the limit at {length}";
            }

            return newline >= 0 ? Take(newline + 1) : Ended ? Take(length) : null;
        }

        private string? TextLine()
        {
            string? line = Line();
            if (line is null || line.StartsWith("over", StringComparison.Ordinal))
            {
                return line;
            }

            if (line.Length == 0)
            {
                return "null";
            }

            return line.EndsWith("\r\n", StringComparison.Ordinal) ? line[..^2] : line.EndsWith('\n') ? line[..^1] : line;
        }

        private string? Until(string[] separators)
        {
            // Every place where some separator matches; the one that ends first wins, and of those the shortest.
            var matches = separators
                .Select(separator => (Start: Buffer.IndexOf(separator, StringComparison.Ordinal), separator.Length))
                .Where(match => match.Start >= 0)
                .OrderBy(match => match.Start + match.Length)
                .ThenBy(match => match.Length)
                .ToList();
            if (matches.Count > 0)
            {
                return matches[0].Start > limit
                    ? $"over the limit at {matches[0].Start}"
                    : Take(matches[0].Start + matches[0].Length);
            }

            int surelyBefore = Buffer.Length + 1 - separators.Max(separator => separator.Length);
            if (surelyBefore > limit)
            {
                return $"over the limit at {surelyBefore}";
            }

            return Ended ? $"incomplete {Take(Buffer.Length)} of " : null;
        }
    }
}

using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>Plays a script against a reader and against the model of one, and tells what both have answered.</summary>
internal static class ReaderScript
{
    /// <summary>A source by its name, which works without other threads: what a step does is done when it returns.</summary>
    public static ReaderSource MakeSource(string kind, int limit)
    {
        // A pipe that never pauses: the script feeds without waiting.
        var options = new PipeOptions(
            readerScheduler: PipeScheduler.Inline, pauseWriterThreshold: 0, minimumSegmentSize: kind == "pipe" ? -1 : 16,
            useSynchronizationContext: false);
        return kind switch
        {
            "fed by hand" => new HandFed(limit, PipeScheduler.Inline),
            "chunks" => new OverChunks(limit, PipeScheduler.Inline),
            _ => new OverPipe(limit, options),
        };
    }

    /// <summary>The model for a source of that name.</summary>
    public static ReaderModel MakeModel(string kind, int limit) => new(limit, patient: kind != "fed by hand");

    public static (string Expected, string Actual) Play(ReaderSource source, ReaderModel model, IReadOnlyList<ReaderStep> steps, CancellationToken cancellationToken)
    {
        var expected = new StringBuilder();
        var actual = new StringBuilder();
        using var test = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        CancellationTokenSource? cancel = null;
        ReaderStep? call = null;
        Task<string>? waiting = null;
        foreach (ReaderStep step in steps)
        {
            switch (step.Kind)
            {
                case ReaderStepKind.Feed when !model.EndArrived:
                    source.Feed(step.Data);
                    model.Arrived += step.Data;
                    break;
                case ReaderStepKind.End when !model.EndArrived:
                    source.Finish();
                    model.EndArrived = true;
                    break;
                case ReaderStepKind.Cancel when call is not null:
                    cancel!.Cancel();
                    expected.Append("cancelled\n");
                    actual.Append(waiting!.IsCanceled ? "cancelled\n" : "not cancelled\n");
                    call = null;
                    waiting = null;
                    break;
                case > ReaderStepKind.Cancel when call is null:
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

    private static async Task<string> Call(ByteStreamReader reader, ReaderStep step, CancellationToken token)
    {
        byte[] memory = new byte[Math.Max(0, step.N)];
        switch (step.Kind)
        {
            case ReaderStepKind.Read:
                return Text(await reader.ReadAsync(step.N, token).ConfigureAwait(false));
            case ReaderStepKind.ReadMemory:
                return Text(memory.AsSpan(0, await reader.ReadAsync(memory.AsMemory(), token).ConfigureAwait(false)));
            case ReaderStepKind.Borrow:
                return Encoding.Latin1.GetString(await reader.BorrowAsync(token).ConfigureAwait(false));
            case ReaderStepKind.Exactly:
                return Text(await reader.ReadExactlyAsync(step.N, token).ConfigureAwait(false));
            case ReaderStepKind.ExactlyMemory:
                await reader.ReadExactlyAsync(memory.AsMemory(), token).ConfigureAwait(false);
                return Text(memory);
            case ReaderStepKind.BorrowExactly:
                return Encoding.Latin1.GetString(await reader.BorrowExactlyAsync(step.N, token).ConfigureAwait(false));
            case ReaderStepKind.Line:
                return Text(await reader.ReadLineAsync(token).ConfigureAwait(false));
            case ReaderStepKind.BorrowLine:
                return Encoding.Latin1.GetString(await reader.BorrowLineAsync(token).ConfigureAwait(false));
            case ReaderStepKind.TextLine:
                return await reader.ReadTextLineAsync(Encoding.Latin1, token).ConfigureAwait(false) ?? "null";
            case ReaderStepKind.Until when step.Separators!.Length == 1:
                return Text(await reader.ReadUntilAsync(Bytes(step.Separators[0]), token).ConfigureAwait(false));
            case ReaderStepKind.Until:
                return Text(await reader.ReadUntilAsync(Separators(step.Separators!), token).ConfigureAwait(false));
            case ReaderStepKind.BorrowUntil:
                return Encoding.Latin1.GetString(await reader.BorrowUntilAsync(Separators(step.Separators!), token).ConfigureAwait(false));
            case ReaderStepKind.BatchWait:
                return await reader.WaitToReadAsync(token).ConfigureAwait(false) ? "readable" : "end";
            case ReaderStepKind.BatchLine:
                return reader.TryReadLine(out ReadOnlySequence<byte> line) ? Encoding.Latin1.GetString(line) : "none";
            case ReaderStepKind.BatchExactly:
                return reader.TryReadExactly(step.N, out ReadOnlySequence<byte> bytes) ? Encoding.Latin1.GetString(bytes) : "none";
            case ReaderStepKind.BatchUntil when step.Separators!.Length == 1:
                return reader.TryReadUntil(Bytes(step.Separators[0]), out ReadOnlySequence<byte> until) ? Encoding.Latin1.GetString(until) : "none";
            case ReaderStepKind.BatchUntil:
                return reader.TryReadUntil(Separators(step.Separators!), out ReadOnlySequence<byte> any) ? Encoding.Latin1.GetString(any) : "none";
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

    private static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);

    private static ReadOnlyMemory<byte>[] Separators(string[] separators) => [.. separators.Select(separator => (ReadOnlyMemory<byte>)Bytes(separator))];
}

/// <summary>What a step of a script does; what stands behind <see cref="Cancel"/> is a read.</summary>
internal enum ReaderStepKind
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
    BatchWait,
    BatchLine,
    BatchExactly,
    BatchUntil,
}

/// <summary>One step of a script.</summary>
internal sealed record ReaderStep(ReaderStepKind Kind, int N = 0, string Data = "", string[]? Separators = null)
{
    public override string ToString() => Kind switch
    {
        ReaderStepKind.Feed => $"feed {Escape(Data)}",
        ReaderStepKind.Until or ReaderStepKind.BorrowUntil or ReaderStepKind.BatchUntil => $"{Kind}({string.Join('|', Separators!.Select(Escape))})",
        _ => $"{Kind}({N})",
    };

    private static string Escape(string text) =>
        text.Replace("\r", "\\r", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
}

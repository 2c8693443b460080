using System.Text;
using ByteStreams.Middleware.Tests.Streams;

namespace ByteStreams.Fuzz;

/// <summary>
/// Any bytes are a script of arrivals, reads, cancellations and an end. Whatever carries the bytes to the reader, it answers as the
/// model does, which is a plain string.
/// </summary>
internal static class ReaderTarget
{
    private const int Steps = 200;

    private static readonly string[] Sources = ["fed by hand", "pipe", "pipe of small segments", "chunks"];

    public static void Run(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 2)
        {
            return;
        }

        int limit = 1 + (bytes[0] % 64);
        // What most readers of a program have, beside limits that are met all the time.
        limit = limit == 64 ? 65536 : limit;
        List<ReaderStep> steps = Decode(bytes[1..]);
        foreach (string source in Sources)
        {
            (string expected, string actual) = ReaderScript.Play(ReaderScript.MakeSource(source, limit), ReaderScript.MakeModel(source, limit), steps, default);
            Demand.That(
                expected == actual, () => $"Over {source}, limit {limit}, {string.Join(", ", steps)}:\n{actual}\ninstead of\n{expected}");
        }
    }

    private static List<ReaderStep> Decode(ReadOnlySpan<byte> bytes)
    {
        var steps = new List<ReaderStep>();
        while (!bytes.IsEmpty && steps.Count < Steps)
        {
            var kind = (ReaderStepKind)(Next(ref bytes) % 14);
            steps.Add(kind switch
            {
                ReaderStepKind.Feed => new ReaderStep(kind, Data: Text(ref bytes, most: 64)),
                ReaderStepKind.Read or ReaderStepKind.Exactly or ReaderStepKind.BorrowExactly => new ReaderStep(kind, Count(ref bytes) - 1),
                ReaderStepKind.ReadMemory or ReaderStepKind.ExactlyMemory => new ReaderStep(kind, Count(ref bytes)),
                ReaderStepKind.Until or ReaderStepKind.BorrowUntil => new ReaderStep(kind, Separators: Separators(ref bytes)),
                _ => new ReaderStep(kind),
            });
        }

        return steps;
    }

    private static int Next(ref ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return 0;
        }

        byte next = bytes[0];
        bytes = bytes[1..];
        return next;
    }

    /// <summary>Small ones mostly.</summary>
    private static int Count(ref ReadOnlySpan<byte> bytes)
    {
        int count = Next(ref bytes);
        return count < 200 ? count % 40 : count * 8;
    }

    /// <summary>At least one byte: nothing is neither a chunk nor a separator.</summary>
    private static string Text(ref ReadOnlySpan<byte> bytes, int most)
    {
        int length = Math.Min(1 + (Next(ref bytes) % most), bytes.Length);
        string text = length == 0 ? "\n" : Encoding.Latin1.GetString(bytes[..length]);
        bytes = bytes[length..];
        return text;
    }

    private static string[] Separators(ref ReadOnlySpan<byte> bytes)
    {
        string[] separators = new string[1 + (Next(ref bytes) % 4)];
        for (int i = 0; i < separators.Length; i++)
        {
            separators[i] = Text(ref bytes, most: 6);
        }

        return separators;
    }
}

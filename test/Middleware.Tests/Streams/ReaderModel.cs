namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>
/// asyncio's rules over a string: no segments, no scan offset, no waiting. A reader over a pipe is patient: it looks at what
/// has arrived only where what it has does not answer the call.
/// </summary>
internal sealed class ReaderModel(int limit, bool patient)
{
    public string Arrived { get; set; } = "";

    public bool EndArrived { get; set; }

    private string Buffer { get; set; } = "";

    private bool Ended { get; set; }

    /// <summary>The bytes at the start of the buffer that a Try call has seen in vain.</summary>
    private int Examined { get; set; }

    /// <summary>What a call answers now, or null where it waits.</summary>
    public string? Answer(ReaderStep call)
    {
        if (call.Kind > ReaderStepKind.BatchWait && patient)
        {
            return Try(call);
        }

        if (patient && AnswerFromBuffer(call) is string answer)
        {
            return answer;
        }

        Buffer += Arrived;
        Arrived = "";
        Ended = EndArrived;
        return AnswerFromBuffer(call);
    }

    private string? AnswerFromBuffer(ReaderStep call) => call.Kind switch
    {
        ReaderStepKind.Read when call.N < 0 => Ended ? Take(Buffer.Length) : null,
        ReaderStepKind.Read or ReaderStepKind.ReadMemory => Some(call.N),
        ReaderStepKind.Borrow => Some(int.MaxValue),
        ReaderStepKind.Exactly or ReaderStepKind.ExactlyMemory or ReaderStepKind.BorrowExactly => Exactly(call.N),
        ReaderStepKind.Line or ReaderStepKind.BorrowLine => Line(),
        ReaderStepKind.TextLine => TextLine(),
        ReaderStepKind.Until or ReaderStepKind.BorrowUntil => Until(call.Separators!),
        ReaderStepKind.BatchWait => Ended || Buffer.Length > Examined ? (Buffer.Length > 0 ? "readable" : "end") : null,
        ReaderStepKind.BatchLine or ReaderStepKind.BatchExactly or ReaderStepKind.BatchUntil => Try(call),
        _ => throw new InvalidOperationException($"{call.Kind} is no read."),
    };

    /// <summary>A Try call: the answer of the read that waits, or that there is none.</summary>
    private string Try(ReaderStep call)
    {
        if (Buffer.Length == 0 && !(call.Kind == ReaderStepKind.BatchExactly && call.N <= 0))
        {
            return "none";
        }

        string? answer = call.Kind switch
        {
            ReaderStepKind.BatchLine => Line(),
            ReaderStepKind.BatchExactly => Exactly(call.N),
            _ => Until(call.Separators!),
        };
        Examined = answer is null ? Buffer.Length : Examined;
        return answer ?? "none";
    }

    private string Take(int count)
    {
        Examined = Math.Max(0, Examined - count);
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

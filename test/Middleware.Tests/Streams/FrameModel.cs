using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.RegularExpressions;

namespace ByteStreams.Middleware.Tests.Streams;

/// <summary>
/// The framings over a plain string that is there as a whole: no segments, no state, numbers of any size. Used by the random tests and by the
/// fuzz target.
/// </summary>
internal static partial class FrameModel
{
    /// <summary>The longest frame of all framings here.</summary>
    public const int Longest = 40;

    private const int LongestHeader = 48;

    public static Framing[] Framings { get; } =
    [
        Framing.Delimited(";"u8, Longest),
        Framing.Delimited("aab"u8, Longest),
        Framing.LengthPrefixed(1, maxLength: Longest),
        Framing.LengthPrefixed(2, Endianness.LittleEndian, offset: 1, adjustment: -3, strip: 3, maxLength: Longest),
        Framing.LengthPrefixed(2, adjustment: 1, strip: 0, maxLength: Longest),
        Framing.LengthPrefixed(8, strip: 9, maxLength: Longest),
        Framing.Varint(Longest),
        Framing.Varint(Longest, allowNonMinimal: true),
        Framing.Netstring(Longest),
        Framing.ContentLength(Longest, LongestHeader),
        Framing.Fixed(5),
    ];

    /// <summary>All frames, and how it ends: "end", "waits" (or "incomplete" and the rest, after the end), "too long" or "invalid".</summary>
    public static List<string> Decode(int framing, string bytes, bool ended)
    {
        var answers = new List<string>();
        while (true)
        {
            (string? error, int total, int start, int length) = bytes.Length == 0 ? default : Measure(framing, bytes);
            if (error is not null)
            {
                answers.Add(error);
                return answers;
            }

            if (total == 0 || total > bytes.Length)
            {
                answers.Add(!ended ? "waits" : bytes.Length == 0 ? "end" : "incomplete " + bytes);
                return answers;
            }

            answers.Add($"frame {bytes.AsSpan(start, length)}");
            bytes = bytes[total..];
        }
    }

    /// <summary>What a reader answers, with one of three ways to read.</summary>
    public static List<string> Read(ReaderSource source, int framing, IReadOnlyList<string> chunks, bool ended, int way)
    {
        var answers = new List<string>();
        Task<string>? waiting = null;
        foreach (string? chunk in chunks.Append(null))
        {
            if (chunk is not null)
            {
                source.Feed(chunk);
            }
            else if (ended)
            {
                source.Finish();
            }

            // A Try call takes all that is there, and the reads wait for the next chunk.
            while (waiting is null or { IsCompleted: true })
            {
                if (waiting is not null)
                {
                    answers.Add(waiting.GetAwaiter().GetResult());
                    if (!answers[^1].StartsWith("frame ", StringComparison.Ordinal))
                    {
                        return answers;
                    }
                }

                waiting = NextAsync(source.Reader, Framings[framing], way);
            }
        }

        answers.Add("waits");
        return answers;
    }

    private static async Task<string> NextAsync(ByteStreamReader reader, Framing framing, int way)
    {
        try
        {
            switch (way)
            {
                case 0:
                    return await reader.ReadFrameAsync(framing).ConfigureAwait(false) is byte[] owned ? "frame " + Encoding.Latin1.GetString(owned) : "end";
                case 1:
                    return await reader.BorrowFrameAsync(framing).ConfigureAwait(false) is { } borrowed ? "frame " + Encoding.Latin1.GetString(borrowed) : "end";
                default:
                    do
                    {
                        if (reader.TryReadFrame(framing, out var frame))
                        {
                            return "frame " + Encoding.Latin1.GetString(frame);
                        }
                    }
                    while (await reader.WaitToReadAsync().ConfigureAwait(false));
                    return "end";
            }
        }
        catch (LimitOverrunException)
        {
            return "too long";
        }
        catch (InvalidFrameException)
        {
            return "invalid";
        }
        catch (IncompleteReadException incomplete)
        {
            return "incomplete " + Encoding.Latin1.GetString(incomplete.Partial);
        }
    }

    private static (string? Error, int Total, int Start, int Length) Measure(int framing, string bytes) => framing switch
    {
        0 => Delimited(bytes, ";"),
        1 => Delimited(bytes, "aab"),
        2 => Prefixed(bytes, 0, 1, isLittle: false, 0, 1),
        3 => Prefixed(bytes, 1, 2, isLittle: true, -3, 3),
        4 => Prefixed(bytes, 0, 2, isLittle: false, 1, 0),
        5 => Prefixed(bytes, 0, 8, isLittle: false, 0, 9),
        6 or 7 => Varint(bytes, framing == 7),
        8 => Netstring(bytes),
        9 => ContentLength(bytes),
        _ => (null, 5, 0, 5),
    };

    private static (string?, int, int, int) Delimited(string bytes, string delimiter)
    {
        int start = bytes.IndexOf(delimiter, StringComparison.Ordinal);
        int length = start < 0 ? bytes.Length + 1 - delimiter.Length : start;
        return length > Longest ? ("too long", 0, 0, 0) : (null, start < 0 ? 0 : start + delimiter.Length, 0, Math.Max(start, 0));
    }

    private static (string?, int, int, int) Prefixed(string bytes, int offset, int size, bool isLittle, int adjustment, int strip)
    {
        if (bytes.Length < offset + size)
        {
            return default;
        }

        var value = new BigInteger(Encoding.Latin1.GetBytes(bytes.Substring(offset, size)), isUnsigned: true, isBigEndian: !isLittle);
        BigInteger total = offset + size + value + adjustment;
        return total - strip > Longest ? ("too long", 0, 0, 0)
            : total < Math.Max(strip, offset + size) ? ("invalid", 0, 0, 0)
            : (null, (int)total, strip, (int)total - strip);
    }

    private static (string?, int, int, int) Varint(string bytes, bool allowNonMinimal)
    {
        int count = bytes.TakeWhile(one => one >= 0x80).Count() + 1;
        if (count > 10)
        {
            return ("invalid", 0, 0, 0);
        }

        if (count > bytes.Length)
        {
            return default;
        }

        BigInteger value = 0;
        for (int i = count - 1; i >= 0; i--)
        {
            value = (value << 7) + (bytes[i] & 0x7F);
        }

        bool isMinimal = count == 1 || bytes[count - 1] != '\0';
        return value > ulong.MaxValue || (!isMinimal && !allowNonMinimal) ? ("invalid", 0, 0, 0)
            : value > Longest ? ("too long", 0, 0, 0)
            : (null, count + (int)value, count, (int)value);
    }

    private static (string?, int, int, int) Netstring(string bytes)
    {
        // As far as the length goes, or its first wrong byte.
        string digits = new([.. bytes.TakeWhile(char.IsAsciiDigit)]);
        for (int i = 1; i <= digits.Length; i++)
        {
            if (i > 1 && digits[0] == '0')
            {
                return ("invalid", 0, 0, 0);
            }

            if (BigInteger.Parse(digits[..i], CultureInfo.InvariantCulture) > Longest)
            {
                return ("too long", 0, 0, 0);
            }
        }

        if (digits.Length == bytes.Length)
        {
            return default;
        }

        if (digits.Length == 0 || bytes[digits.Length] != ':')
        {
            return ("invalid", 0, 0, 0);
        }

        int length = int.Parse(digits, CultureInfo.InvariantCulture);
        int total = digits.Length + 1 + length + 1;
        return bytes.Length >= total && bytes[total - 1] != ',' ? ("invalid", 0, 0, 0) : (null, total, digits.Length + 1, length);
    }

    private static (string?, int, int, int) ContentLength(string bytes)
    {
        int end = bytes.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4;
        if (end < 4 || end > LongestHeader)
        {
            return bytes.Length >= LongestHeader ? ("too long", 0, 0, 0) : default;
        }

        string? found = null;
        foreach (string line in bytes[..(end - 4)].Split("\r\n"))
        {
            Match header = HeaderLine().Match(line);
            if (!header.Success)
            {
                return ("invalid", 0, 0, 0);
            }

            if (header.Groups[1].Value.Equals("content-length", StringComparison.OrdinalIgnoreCase))
            {
                string value = header.Groups[2].Value.Trim(' ', '\t');
                if (found is not null || value.Length == 0 || !value.All(char.IsAsciiDigit))
                {
                    return ("invalid", 0, 0, 0);
                }

                found = value;
                if (BigInteger.Parse(found, CultureInfo.InvariantCulture) > Longest)
                {
                    return ("too long", 0, 0, 0);
                }
            }
        }

        int length = found is null ? -1 : int.Parse(found, CultureInfo.InvariantCulture);
        return length < 0 ? ("invalid", 0, 0, 0) : (null, end + length, end, length);
    }

    [GeneratedRegex(@"\A([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\r\n\0]*)\z", RegexOptions.CultureInvariant)]
    private static partial Regex HeaderLine();
}
